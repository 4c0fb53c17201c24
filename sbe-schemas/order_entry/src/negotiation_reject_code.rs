#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NegotiationRejectCode {
    Credentials = 0x0_u8,
    FlowTypeNotSupported = 0x1_u8,
    DuplicateId = 0x2_u8,
    Unspecified = 0x3_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for NegotiationRejectCode {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Credentials,
            0x1_u8 => Self::FlowTypeNotSupported,
            0x2_u8 => Self::DuplicateId,
            0x3_u8 => Self::Unspecified,
            _ => Self::NullVal,
        }
    }
}
impl From<NegotiationRejectCode> for u8 {
    #[inline]
    fn from(v: NegotiationRejectCode) -> Self {
        match v {
            NegotiationRejectCode::Credentials => 0x0_u8,
            NegotiationRejectCode::FlowTypeNotSupported => 0x1_u8,
            NegotiationRejectCode::DuplicateId => 0x2_u8,
            NegotiationRejectCode::Unspecified => 0x3_u8,
            NegotiationRejectCode::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for NegotiationRejectCode {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Credentials" => Ok(Self::Credentials),
            "FlowTypeNotSupported" => Ok(Self::FlowTypeNotSupported),
            "DuplicateId" => Ok(Self::DuplicateId),
            "Unspecified" => Ok(Self::Unspecified),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for NegotiationRejectCode {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Credentials => write!(f, "Credentials"),
            Self::FlowTypeNotSupported => write!(f, "FlowTypeNotSupported"),
            Self::DuplicateId => write!(f, "DuplicateId"),
            Self::Unspecified => write!(f, "Unspecified"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
