#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChannelState {
    Stale = 0x0_u8,
    Current = 0x1_u8,
    Ended = 0x2_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for ChannelState {
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
impl From<ChannelState> for u8 {
    #[inline]
    fn from(v: ChannelState) -> Self {
        match v {
            ChannelState::Stale => 0x0_u8,
            ChannelState::Current => 0x1_u8,
            ChannelState::Ended => 0x2_u8,
            ChannelState::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for ChannelState {
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
impl core::fmt::Display for ChannelState {
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
