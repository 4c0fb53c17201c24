#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SecurityTradingStatus {
    Halted = 72_u8,
    Paused = 80_u8,
    QuotationOnly = 81_u8,
    Trading = 84_u8,
    Unknown = 85_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for SecurityTradingStatus {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            72_u8 => Self::Halted,
            80_u8 => Self::Paused,
            81_u8 => Self::QuotationOnly,
            84_u8 => Self::Trading,
            85_u8 => Self::Unknown,
            _ => Self::NullVal,
        }
    }
}
impl From<SecurityTradingStatus> for u8 {
    #[inline]
    fn from(v: SecurityTradingStatus) -> Self {
        match v {
            SecurityTradingStatus::Halted => 72_u8,
            SecurityTradingStatus::Paused => 80_u8,
            SecurityTradingStatus::QuotationOnly => 81_u8,
            SecurityTradingStatus::Trading => 84_u8,
            SecurityTradingStatus::Unknown => 85_u8,
            SecurityTradingStatus::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for SecurityTradingStatus {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Halted" => Ok(Self::Halted),
            "Paused" => Ok(Self::Paused),
            "QuotationOnly" => Ok(Self::QuotationOnly),
            "Trading" => Ok(Self::Trading),
            "Unknown" => Ok(Self::Unknown),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for SecurityTradingStatus {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Halted => write!(f, "Halted"),
            Self::Paused => write!(f, "Paused"),
            Self::QuotationOnly => write!(f, "QuotationOnly"),
            Self::Trading => write!(f, "Trading"),
            Self::Unknown => write!(f, "Unknown"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
