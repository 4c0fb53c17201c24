#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CrossType {
    ExtendedClose = 65_u8,
    Closing = 67_u8,
    Halt = 72_u8,
    Initial = 73_u8,
    Opening = 79_u8,
    Unknown = 85_u8,
    Volatility = 86_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for CrossType {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            65_u8 => Self::ExtendedClose,
            67_u8 => Self::Closing,
            72_u8 => Self::Halt,
            73_u8 => Self::Initial,
            79_u8 => Self::Opening,
            85_u8 => Self::Unknown,
            86_u8 => Self::Volatility,
            _ => Self::NullVal,
        }
    }
}
impl From<CrossType> for u8 {
    #[inline]
    fn from(v: CrossType) -> Self {
        match v {
            CrossType::ExtendedClose => 65_u8,
            CrossType::Closing => 67_u8,
            CrossType::Halt => 72_u8,
            CrossType::Initial => 73_u8,
            CrossType::Opening => 79_u8,
            CrossType::Unknown => 85_u8,
            CrossType::Volatility => 86_u8,
            CrossType::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for CrossType {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "ExtendedClose" => Ok(Self::ExtendedClose),
            "Closing" => Ok(Self::Closing),
            "Halt" => Ok(Self::Halt),
            "Initial" => Ok(Self::Initial),
            "Opening" => Ok(Self::Opening),
            "Unknown" => Ok(Self::Unknown),
            "Volatility" => Ok(Self::Volatility),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for CrossType {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::ExtendedClose => write!(f, "ExtendedClose"),
            Self::Closing => write!(f, "Closing"),
            Self::Halt => write!(f, "Halt"),
            Self::Initial => write!(f, "Initial"),
            Self::Opening => write!(f, "Opening"),
            Self::Unknown => write!(f, "Unknown"),
            Self::Volatility => write!(f, "Volatility"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
