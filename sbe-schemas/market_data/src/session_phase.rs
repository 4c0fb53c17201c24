#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SessionPhase {
    AfterEndOfMessages = 67_u8,
    AfterSystemHours = 69_u8,
    AfterMarketHours = 77_u8,
    BeforeSystemHours = 79_u8,
    MarketHours = 81_u8,
    BeforeMarketHours = 83_u8,
    Unknown = 85_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for SessionPhase {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            67_u8 => Self::AfterEndOfMessages,
            69_u8 => Self::AfterSystemHours,
            77_u8 => Self::AfterMarketHours,
            79_u8 => Self::BeforeSystemHours,
            81_u8 => Self::MarketHours,
            83_u8 => Self::BeforeMarketHours,
            85_u8 => Self::Unknown,
            _ => Self::NullVal,
        }
    }
}
impl From<SessionPhase> for u8 {
    #[inline]
    fn from(v: SessionPhase) -> Self {
        match v {
            SessionPhase::AfterEndOfMessages => 67_u8,
            SessionPhase::AfterSystemHours => 69_u8,
            SessionPhase::AfterMarketHours => 77_u8,
            SessionPhase::BeforeSystemHours => 79_u8,
            SessionPhase::MarketHours => 81_u8,
            SessionPhase::BeforeMarketHours => 83_u8,
            SessionPhase::Unknown => 85_u8,
            SessionPhase::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for SessionPhase {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "AfterEndOfMessages" => Ok(Self::AfterEndOfMessages),
            "AfterSystemHours" => Ok(Self::AfterSystemHours),
            "AfterMarketHours" => Ok(Self::AfterMarketHours),
            "BeforeSystemHours" => Ok(Self::BeforeSystemHours),
            "MarketHours" => Ok(Self::MarketHours),
            "BeforeMarketHours" => Ok(Self::BeforeMarketHours),
            "Unknown" => Ok(Self::Unknown),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for SessionPhase {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::AfterEndOfMessages => write!(f, "AfterEndOfMessages"),
            Self::AfterSystemHours => write!(f, "AfterSystemHours"),
            Self::AfterMarketHours => write!(f, "AfterMarketHours"),
            Self::BeforeSystemHours => write!(f, "BeforeSystemHours"),
            Self::MarketHours => write!(f, "MarketHours"),
            Self::BeforeMarketHours => write!(f, "BeforeMarketHours"),
            Self::Unknown => write!(f, "Unknown"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
