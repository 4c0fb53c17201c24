#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RetransmitRejectCode {
    OutOfRange = 0x0_u8,
    InvalidSession = 0x1_u8,
    RequestLimitExceeded = 0x2_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for RetransmitRejectCode {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::OutOfRange,
            0x1_u8 => Self::InvalidSession,
            0x2_u8 => Self::RequestLimitExceeded,
            _ => Self::NullVal,
        }
    }
}
impl From<RetransmitRejectCode> for u8 {
    #[inline]
    fn from(v: RetransmitRejectCode) -> Self {
        match v {
            RetransmitRejectCode::OutOfRange => 0x0_u8,
            RetransmitRejectCode::InvalidSession => 0x1_u8,
            RetransmitRejectCode::RequestLimitExceeded => 0x2_u8,
            RetransmitRejectCode::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for RetransmitRejectCode {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "OutOfRange" => Ok(Self::OutOfRange),
            "InvalidSession" => Ok(Self::InvalidSession),
            "RequestLimitExceeded" => Ok(Self::RequestLimitExceeded),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for RetransmitRejectCode {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OutOfRange => write!(f, "OutOfRange"),
            Self::InvalidSession => write!(f, "InvalidSession"),
            Self::RequestLimitExceeded => write!(f, "RequestLimitExceeded"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
