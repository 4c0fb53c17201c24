#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimeInForce {
    Day = 48_u8,
    ImmediateOrCancel = 51_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for TimeInForce {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            48_u8 => Self::Day,
            51_u8 => Self::ImmediateOrCancel,
            _ => Self::NullVal,
        }
    }
}
impl From<TimeInForce> for u8 {
    #[inline]
    fn from(v: TimeInForce) -> Self {
        match v {
            TimeInForce::Day => 48_u8,
            TimeInForce::ImmediateOrCancel => 51_u8,
            TimeInForce::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for TimeInForce {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Day" => Ok(Self::Day),
            "ImmediateOrCancel" => Ok(Self::ImmediateOrCancel),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for TimeInForce {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Day => write!(f, "Day"),
            Self::ImmediateOrCancel => write!(f, "ImmediateOrCancel"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
