//! Opens the packet sources of the feed that the configuration names, multicast sockets and captures, and the way to the
//! servers that make good what they lose.

use crate::config::{Channel, Config, Pace as ConfigPace, Source};
use crate::feed::{ChannelRecovery, capture};
use crate::net::{
    AnySource, CaptureSource, KernelRecoveryLink, KernelUdpSource, Pace, PacketSource,
    RecoveryLink, SourceSet, UdpSourceConfig,
};
use crate::topology::settings;

/// Opens what the configuration names, and subscribes. What could not be had in full is told as a remark.
///
/// # Errors
/// The first source that cannot be opened, by its channel's name.
pub(super) fn open(config: &Config) -> Result<(SourceSet, Vec<String>), String> {
    let mut sources = Vec::new();
    let mut remarks = Vec::new();
    for channel in &config.channels {
        let named = |text| format!("channel {}: {text}", channel.name);
        let socket_buffer_bytes = config.aeron.socket_buffer_bytes;
        let (source, remark) = source(channel, socket_buffer_bytes).map_err(named)?;
        sources.push(source);
        remarks.extend(remark.map(named));
    }
    Ok((SourceSet::new(sources), remarks))
}

/// How each channel recovers, with the way to its servers.
///
/// # Errors
/// The first way that cannot be opened, by its channel's name.
pub(super) fn recoveries(config: &Config) -> Result<Vec<ChannelRecovery>, String> {
    let recovery = |channel: &Channel| {
        let (ordering, settings) = (settings::ordering(channel), settings::recovery(channel));
        let rerequest = channel.rerequest.map(|server| server.server);
        let snapshot = channel.glimpse.as_ref().map(|server| server.server);
        if !settings.has_server() {
            return Ok(ChannelRecovery { ordering, settings, link: None });
        }
        let link = KernelRecoveryLink::new(rerequest, snapshot)
            .map_err(|error| format!("channel {}: {error}", channel.name))?;
        let link: Box<dyn RecoveryLink> = Box::new(link);
        Ok(ChannelRecovery { ordering, settings, link: Some(link) })
    };
    config.channels.iter().map(recovery).collect()
}

fn source(
    channel: &Channel,
    socket_buffer_bytes: u32,
) -> Result<(AnySource, Option<String>), String> {
    match &channel.source {
        Source::Multicast { line_a, line_b, interface, timestamps } => {
            let mut socket = KernelUdpSource::new(UdpSourceConfig {
                interface: *interface,
                receive_buffer_bytes: usize::try_from(socket_buffer_bytes).unwrap_or(usize::MAX),
                timestamps: *timestamps,
            });
            for (line, group) in [(0, Some(*line_a)), (1, *line_b)] {
                let Some(group) = group else { continue };
                socket.subscribe(group, channel.id, line).map_err(|error| error.to_string())?;
            }
            let remark = socket.remark();
            Ok((AnySource::Kernel(socket), remark))
        }
        Source::Capture { file, pace } => {
            let recorded = capture::open(file).and_then(|capture| capture.whole());
            let recorded = recorded.map_err(|error| error.to_string())?;
            let pace = match pace {
                ConfigPace::Fast => Pace::Unpaced,
                ConfigPace::Recorded => Pace::Scheduled { datagrams_at_once: 0, duration_ns: None },
            };
            let mut capture = CaptureSource::new(recorded, pace);
            capture.subscribe_all(channel.id);
            Ok((AnySource::Capture(capture), None))
        }
    }
}
