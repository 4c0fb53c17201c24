#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BookState {
    Stale = 0x0_u8,
    Current = 0x1_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for BookState {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Stale,
            0x1_u8 => Self::Current,
            _ => Self::NullVal,
        }
    }
}
impl From<BookState> for u8 {
    #[inline]
    fn from(v: BookState) -> Self {
        match v {
            BookState::Stale => 0x0_u8,
            BookState::Current => 0x1_u8,
            BookState::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for BookState {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Stale" => Ok(Self::Stale),
            "Current" => Ok(Self::Current),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for BookState {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stale => write!(f, "Stale"),
            Self::Current => write!(f, "Current"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
