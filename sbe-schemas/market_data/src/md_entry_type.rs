#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MDEntryType {
    Bid = 48_u8,
    Offer = 49_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for MDEntryType {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            48_u8 => Self::Bid,
            49_u8 => Self::Offer,
            _ => Self::NullVal,
        }
    }
}
impl From<MDEntryType> for u8 {
    #[inline]
    fn from(v: MDEntryType) -> Self {
        match v {
            MDEntryType::Bid => 48_u8,
            MDEntryType::Offer => 49_u8,
            MDEntryType::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for MDEntryType {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Bid" => Ok(Self::Bid),
            "Offer" => Ok(Self::Offer),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for MDEntryType {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bid => write!(f, "Bid"),
            Self::Offer => write!(f, "Offer"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
