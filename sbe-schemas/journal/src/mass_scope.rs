#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MassScope {
    Session = 0x0_u8,
    Instrument = 0x1_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for MassScope {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Session,
            0x1_u8 => Self::Instrument,
            _ => Self::NullVal,
        }
    }
}
impl From<MassScope> for u8 {
    #[inline]
    fn from(v: MassScope) -> Self {
        match v {
            MassScope::Session => 0x0_u8,
            MassScope::Instrument => 0x1_u8,
            MassScope::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for MassScope {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Session" => Ok(Self::Session),
            "Instrument" => Ok(Self::Instrument),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for MassScope {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Session => write!(f, "Session"),
            Self::Instrument => write!(f, "Instrument"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
