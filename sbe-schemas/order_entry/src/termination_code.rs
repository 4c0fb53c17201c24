#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TerminationCode {
    Finished = 0x0_u8,
    UnspecifiedError = 0x1_u8,
    ReRequestOutOfBounds = 0x2_u8,
    ReRequestInProgress = 0x3_u8,
    KeepaliveExpired = 0x4_u8,
    SlowConsumer = 0x5_u8,
    ShuttingDown = 0x6_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for TerminationCode {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Finished,
            0x1_u8 => Self::UnspecifiedError,
            0x2_u8 => Self::ReRequestOutOfBounds,
            0x3_u8 => Self::ReRequestInProgress,
            0x4_u8 => Self::KeepaliveExpired,
            0x5_u8 => Self::SlowConsumer,
            0x6_u8 => Self::ShuttingDown,
            _ => Self::NullVal,
        }
    }
}
impl From<TerminationCode> for u8 {
    #[inline]
    fn from(v: TerminationCode) -> Self {
        match v {
            TerminationCode::Finished => 0x0_u8,
            TerminationCode::UnspecifiedError => 0x1_u8,
            TerminationCode::ReRequestOutOfBounds => 0x2_u8,
            TerminationCode::ReRequestInProgress => 0x3_u8,
            TerminationCode::KeepaliveExpired => 0x4_u8,
            TerminationCode::SlowConsumer => 0x5_u8,
            TerminationCode::ShuttingDown => 0x6_u8,
            TerminationCode::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for TerminationCode {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Finished" => Ok(Self::Finished),
            "UnspecifiedError" => Ok(Self::UnspecifiedError),
            "ReRequestOutOfBounds" => Ok(Self::ReRequestOutOfBounds),
            "ReRequestInProgress" => Ok(Self::ReRequestInProgress),
            "KeepaliveExpired" => Ok(Self::KeepaliveExpired),
            "SlowConsumer" => Ok(Self::SlowConsumer),
            "ShuttingDown" => Ok(Self::ShuttingDown),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for TerminationCode {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Finished => write!(f, "Finished"),
            Self::UnspecifiedError => write!(f, "UnspecifiedError"),
            Self::ReRequestOutOfBounds => write!(f, "ReRequestOutOfBounds"),
            Self::ReRequestInProgress => write!(f, "ReRequestInProgress"),
            Self::KeepaliveExpired => write!(f, "KeepaliveExpired"),
            Self::SlowConsumer => write!(f, "SlowConsumer"),
            Self::ShuttingDown => write!(f, "ShuttingDown"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
