#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KillAction {
    Rearm = 0x0_u8,
    Kill = 0x1_u8,
    KillAndCancel = 0x2_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for KillAction {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Rearm,
            0x1_u8 => Self::Kill,
            0x2_u8 => Self::KillAndCancel,
            _ => Self::NullVal,
        }
    }
}
impl From<KillAction> for u8 {
    #[inline]
    fn from(v: KillAction) -> Self {
        match v {
            KillAction::Rearm => 0x0_u8,
            KillAction::Kill => 0x1_u8,
            KillAction::KillAndCancel => 0x2_u8,
            KillAction::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for KillAction {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Rearm" => Ok(Self::Rearm),
            "Kill" => Ok(Self::Kill),
            "KillAndCancel" => Ok(Self::KillAndCancel),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for KillAction {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Rearm => write!(f, "Rearm"),
            Self::Kill => write!(f, "Kill"),
            Self::KillAndCancel => write!(f, "KillAndCancel"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
