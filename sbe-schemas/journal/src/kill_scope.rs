#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KillScope {
    Firm = 0x0_u8,
    Venue = 0x1_u8,
    Account = 0x2_u8,
    Session = 0x3_u8,
    Instrument = 0x4_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for KillScope {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Firm,
            0x1_u8 => Self::Venue,
            0x2_u8 => Self::Account,
            0x3_u8 => Self::Session,
            0x4_u8 => Self::Instrument,
            _ => Self::NullVal,
        }
    }
}
impl From<KillScope> for u8 {
    #[inline]
    fn from(v: KillScope) -> Self {
        match v {
            KillScope::Firm => 0x0_u8,
            KillScope::Venue => 0x1_u8,
            KillScope::Account => 0x2_u8,
            KillScope::Session => 0x3_u8,
            KillScope::Instrument => 0x4_u8,
            KillScope::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for KillScope {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Firm" => Ok(Self::Firm),
            "Venue" => Ok(Self::Venue),
            "Account" => Ok(Self::Account),
            "Session" => Ok(Self::Session),
            "Instrument" => Ok(Self::Instrument),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for KillScope {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Firm => write!(f, "Firm"),
            Self::Venue => write!(f, "Venue"),
            Self::Account => write!(f, "Account"),
            Self::Session => write!(f, "Session"),
            Self::Instrument => write!(f, "Instrument"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
