#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FeedState {
    Stale = 0x0_u8,
    Current = 0x1_u8,
    Ended = 0x2_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for FeedState {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Stale,
            0x1_u8 => Self::Current,
            0x2_u8 => Self::Ended,
            _ => Self::NullVal,
        }
    }
}
impl From<FeedState> for u8 {
    #[inline]
    fn from(v: FeedState) -> Self {
        match v {
            FeedState::Stale => 0x0_u8,
            FeedState::Current => 0x1_u8,
            FeedState::Ended => 0x2_u8,
            FeedState::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for FeedState {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Stale" => Ok(Self::Stale),
            "Current" => Ok(Self::Current),
            "Ended" => Ok(Self::Ended),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for FeedState {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stale => write!(f, "Stale"),
            Self::Current => write!(f, "Current"),
            Self::Ended => write!(f, "Ended"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
