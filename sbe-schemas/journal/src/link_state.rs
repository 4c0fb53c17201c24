#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LinkState {
    Down = 0x0_u8,
    Up = 0x1_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for LinkState {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Down,
            0x1_u8 => Self::Up,
            _ => Self::NullVal,
        }
    }
}
impl From<LinkState> for u8 {
    #[inline]
    fn from(v: LinkState) -> Self {
        match v {
            LinkState::Down => 0x0_u8,
            LinkState::Up => 0x1_u8,
            LinkState::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for LinkState {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Down" => Ok(Self::Down),
            "Up" => Ok(Self::Up),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for LinkState {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Down => write!(f, "Down"),
            Self::Up => write!(f, "Up"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
