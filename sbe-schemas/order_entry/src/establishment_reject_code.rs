#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EstablishmentRejectCode {
    Unnegotiated = 0x0_u8,
    AlreadyEstablished = 0x1_u8,
    SessionBlocked = 0x2_u8,
    KeepaliveInterval = 0x3_u8,
    Credentials = 0x4_u8,
    Unspecified = 0x5_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for EstablishmentRejectCode {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Unnegotiated,
            0x1_u8 => Self::AlreadyEstablished,
            0x2_u8 => Self::SessionBlocked,
            0x3_u8 => Self::KeepaliveInterval,
            0x4_u8 => Self::Credentials,
            0x5_u8 => Self::Unspecified,
            _ => Self::NullVal,
        }
    }
}
impl From<EstablishmentRejectCode> for u8 {
    #[inline]
    fn from(v: EstablishmentRejectCode) -> Self {
        match v {
            EstablishmentRejectCode::Unnegotiated => 0x0_u8,
            EstablishmentRejectCode::AlreadyEstablished => 0x1_u8,
            EstablishmentRejectCode::SessionBlocked => 0x2_u8,
            EstablishmentRejectCode::KeepaliveInterval => 0x3_u8,
            EstablishmentRejectCode::Credentials => 0x4_u8,
            EstablishmentRejectCode::Unspecified => 0x5_u8,
            EstablishmentRejectCode::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for EstablishmentRejectCode {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Unnegotiated" => Ok(Self::Unnegotiated),
            "AlreadyEstablished" => Ok(Self::AlreadyEstablished),
            "SessionBlocked" => Ok(Self::SessionBlocked),
            "KeepaliveInterval" => Ok(Self::KeepaliveInterval),
            "Credentials" => Ok(Self::Credentials),
            "Unspecified" => Ok(Self::Unspecified),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for EstablishmentRejectCode {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unnegotiated => write!(f, "Unnegotiated"),
            Self::AlreadyEstablished => write!(f, "AlreadyEstablished"),
            Self::SessionBlocked => write!(f, "SessionBlocked"),
            Self::KeepaliveInterval => write!(f, "KeepaliveInterval"),
            Self::Credentials => write!(f, "Credentials"),
            Self::Unspecified => write!(f, "Unspecified"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
