//! Telling systemd how the service is: `sd_notify(3)`. Without systemd every call does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager's ear. A notification that cannot be delivered is logged and otherwise ignored.
#[derive(Debug)]
pub struct Notifier {
    watchdog: Option<Duration>,
}

impl Notifier {
    /// What the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env() -> Notifier {
        Notifier { watchdog: sd_notify::watchdog_enabled() }
    }

    /// How long systemd waits for a [`Notifier::watchdog`] before it ends the service; `None` where it does not watch.
    pub fn watchdog_timeout(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Start is complete: units ordered after this one may start.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The service is on its way down.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        tell(&[NotifyState::Status(text)]);
    }

    /// The service works. To be called only when every agent ran a duty cycle since the last call.
    pub fn watchdog(&self) {
        if self.watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
