#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ImbalanceSide {
    Buy = 66_u8,
    NoImbalance = 78_u8,
    NotComputable = 79_u8,
    Paused = 80_u8,
    Sell = 83_u8,
    Unknown = 85_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for ImbalanceSide {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            66_u8 => Self::Buy,
            78_u8 => Self::NoImbalance,
            79_u8 => Self::NotComputable,
            80_u8 => Self::Paused,
            83_u8 => Self::Sell,
            85_u8 => Self::Unknown,
            _ => Self::NullVal,
        }
    }
}
impl From<ImbalanceSide> for u8 {
    #[inline]
    fn from(v: ImbalanceSide) -> Self {
        match v {
            ImbalanceSide::Buy => 66_u8,
            ImbalanceSide::NoImbalance => 78_u8,
            ImbalanceSide::NotComputable => 79_u8,
            ImbalanceSide::Paused => 80_u8,
            ImbalanceSide::Sell => 83_u8,
            ImbalanceSide::Unknown => 85_u8,
            ImbalanceSide::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for ImbalanceSide {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Buy" => Ok(Self::Buy),
            "NoImbalance" => Ok(Self::NoImbalance),
            "NotComputable" => Ok(Self::NotComputable),
            "Paused" => Ok(Self::Paused),
            "Sell" => Ok(Self::Sell),
            "Unknown" => Ok(Self::Unknown),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for ImbalanceSide {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Buy => write!(f, "Buy"),
            Self::NoImbalance => write!(f, "NoImbalance"),
            Self::NotComputable => write!(f, "NotComputable"),
            Self::Paused => write!(f, "Paused"),
            Self::Sell => write!(f, "Sell"),
            Self::Unknown => write!(f, "Unknown"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
