#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MDUpdateAction {
    New = 48_u8,
    Change = 49_u8,
    Delete = 50_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for MDUpdateAction {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            48_u8 => Self::New,
            49_u8 => Self::Change,
            50_u8 => Self::Delete,
            _ => Self::NullVal,
        }
    }
}
impl From<MDUpdateAction> for u8 {
    #[inline]
    fn from(v: MDUpdateAction) -> Self {
        match v {
            MDUpdateAction::New => 48_u8,
            MDUpdateAction::Change => 49_u8,
            MDUpdateAction::Delete => 50_u8,
            MDUpdateAction::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for MDUpdateAction {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "New" => Ok(Self::New),
            "Change" => Ok(Self::Change),
            "Delete" => Ok(Self::Delete),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for MDUpdateAction {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::New => write!(f, "New"),
            Self::Change => write!(f, "Change"),
            Self::Delete => write!(f, "Delete"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
