#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ShortSaleRestriction {
    NotRestricted = 48_u8,
    InEffect = 49_u8,
    Remains = 50_u8,
    Unknown = 85_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for ShortSaleRestriction {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            48_u8 => Self::NotRestricted,
            49_u8 => Self::InEffect,
            50_u8 => Self::Remains,
            85_u8 => Self::Unknown,
            _ => Self::NullVal,
        }
    }
}
impl From<ShortSaleRestriction> for u8 {
    #[inline]
    fn from(v: ShortSaleRestriction) -> Self {
        match v {
            ShortSaleRestriction::NotRestricted => 48_u8,
            ShortSaleRestriction::InEffect => 49_u8,
            ShortSaleRestriction::Remains => 50_u8,
            ShortSaleRestriction::Unknown => 85_u8,
            ShortSaleRestriction::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for ShortSaleRestriction {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "NotRestricted" => Ok(Self::NotRestricted),
            "InEffect" => Ok(Self::InEffect),
            "Remains" => Ok(Self::Remains),
            "Unknown" => Ok(Self::Unknown),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for ShortSaleRestriction {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotRestricted => write!(f, "NotRestricted"),
            Self::InEffect => write!(f, "InEffect"),
            Self::Remains => write!(f, "Remains"),
            Self::Unknown => write!(f, "Unknown"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
