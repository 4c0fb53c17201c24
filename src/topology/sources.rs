//! Opens the packet sources of the feed that the configuration names, multicast sockets and captures, and the way to the
//! servers that make good what they lose. Streams of other gateways are opened on the thread that reads them, and only named here.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::config::{Channel, Config, Pace as ConfigPace, Source, Stream};
use crate::feed::sbe::{CHANGES_LINE, SNAPSHOTS_LINE};
use crate::feed::{ChannelRecovery, capture};
use crate::net::xdp::XdpSource;
use crate::net::xdp::kernel::Interface;
use crate::net::{
    AnySource, CaptureSource, KernelRecoveryLink, KernelUdpSource, Pace, PacketSource,
    RecoveryLink, SourceSet, UdpSourceConfig,
};
use crate::topology::bypass::{Bypass, OpenQueue};
use crate::topology::settings;
use crate::types::ChannelId;

/// Opens what the configuration names, and subscribes. What could not be had in full is told as a remark.
///
/// # Errors
/// The first source that cannot be opened, by its channel's name.
pub(super) fn open(
    config: &Config,
    bypass: &mut Bypass,
) -> Result<(SourceSet, Vec<String>), String> {
    let socket_buffer_bytes = config.aeron.socket_buffer_bytes;
    let (mut sources, mut remarks) = (Vec::new(), Vec::new());
    let mut past_the_kernel = past_the_kernel(bypass)?;
    for channel in &config.channels {
        let named = |text| format!("channel {}: {text}", channel.name);
        if subscribe_past_the_kernel(channel, socket_buffer_bytes, &mut past_the_kernel)
            .map_err(|error| named(error.to_string()))?
        {
            continue;
        }
        let Some((source, remark)) = source(channel, socket_buffer_bytes).map_err(named)? else {
            continue;
        };
        sources.push(source);
        remarks.extend(remark.map(named));
    }
    for Interfaced { name, source, .. } in past_the_kernel {
        remarks.extend(source.remarks().into_iter().map(|text| format!("{name}: {text}")));
        sources.push(AnySource::Xdp(Box::new(source)));
    }
    Ok((SourceSet::new(sources), remarks))
}

/// The source over the queues of an interface, and which channels are its.
struct Interfaced {
    index: u32,
    name: String,
    addresses: Vec<Ipv4Addr>,
    source: XdpSource,
}

/// The sources over the queues that the feed has, one for each interface.
fn past_the_kernel(bypass: &mut Bypass) -> Result<Vec<Interfaced>, String> {
    let mut queues = std::mem::take(&mut bypass.feed);
    let mut sources: Vec<Interfaced> = Vec::new();
    let Some(watcher) = &bypass.watcher else { return Ok(sources) };
    while let Some(index) = queues.first().map(|queue| queue.interface.index) {
        let of_it = |queue: &OpenQueue| queue.interface.index == index;
        let (own, others): (Vec<_>, Vec<_>) = queues.into_iter().partition(of_it);
        queues = others;
        let Some(Interface { name, addresses, .. }) = own.first().map(|q| q.interface.clone())
        else {
            break;
        };
        let addresses: Vec<Ipv4Addr> = addresses.iter().map(|(address, _)| *address).collect();
        let ports = own.into_iter().map(|queue| queue.port).collect();
        let source = XdpSource::new(ports, Arc::clone(watcher));
        let source = source.map_err(|error| format!("AF_XDP on {name}: {error}"))?;
        sources.push(Interfaced { index, name, addresses, source });
    }
    sources.sort_by_key(|source| source.index);
    Ok(sources)
}

/// Has the channel's lines come by its interface's queues; `false` if there are none, or it is to stay with the kernel's sockets.
fn subscribe_past_the_kernel(
    channel: &Channel,
    socket_buffer_bytes: u32,
    sources: &mut [Interfaced],
) -> std::io::Result<bool> {
    let Source::Multicast { line_a, line_b, interface, timestamps, bypass: true } = &channel.source
    else {
        return Ok(false);
    };
    let own = sources.iter_mut().find(|source| source.addresses.contains(interface));
    let Some(Interfaced { source, .. }) = own else { return Ok(false) };
    let sockets = UdpSourceConfig {
        interface: *interface,
        receive_buffer_bytes: usize::try_from(socket_buffer_bytes).unwrap_or(usize::MAX),
        timestamps: *timestamps,
    };
    for (line, group) in [(0, Some(*line_a)), (1, *line_b)] {
        let Some(group) = group else { continue };
        source.subscribe_with(sockets, group, channel.id, line)?;
    }
    Ok(true)
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

/// A stream of another gateway, and which line of which channel it is.
#[derive(Clone, Debug)]
pub(super) struct FeedStream {
    /// The channel.
    pub(super) channel: ChannelId,
    /// The line.
    pub(super) line: u8,
    /// Where it is read.
    pub(super) stream: Stream,
}

/// The streams of other gateways, those of one channel after each other, market data first: a snapshot is then seldom ahead of
/// what was read.
pub(super) fn streams(config: &Config) -> Vec<FeedStream> {
    let mut streams = Vec::new();
    for Channel { id, source, .. } in &config.channels {
        let Source::Aeron { changes, snapshots } = source else { continue };
        let mut add = |line, stream: &Stream| {
            streams.push(FeedStream { channel: *id, line, stream: stream.clone() });
        };
        add(CHANGES_LINE, changes);
        if let Some(snapshots) = snapshots {
            add(SNAPSHOTS_LINE, snapshots);
        }
    }
    streams
}

/// The channel's source, if it is one of ours to open here.
fn source(
    channel: &Channel,
    socket_buffer_bytes: u32,
) -> Result<Option<(AnySource, Option<String>)>, String> {
    match &channel.source {
        Source::Multicast { line_a, line_b, interface, timestamps, .. } => {
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
            Ok(Some((AnySource::Kernel(socket), remark)))
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
            Ok(Some((AnySource::Capture(capture), None)))
        }
        Source::Aeron { .. } => Ok(None),
    }
}
