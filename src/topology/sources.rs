//! All packet sources of the feed as one: multicast sockets and captures, whatever the configuration has of each.

use std::io;
use std::net::SocketAddrV4;

use crate::config::{self, Config, Pace as ConfigPace, Source};
use crate::feed::capture;
use crate::net::{
    CaptureSource, DatagramHandler, KernelUdpSource, Pace, PacketSource, Polled, UdpSourceConfig,
};
use crate::types::{ChannelId, Nanos};

/// Every source of the configuration. Each poll visits all of them, within one budget.
#[derive(Debug)]
pub struct Sources {
    sockets: Vec<KernelUdpSource>,
    captures: Vec<CaptureSource>,
}

impl Sources {
    /// Opens what the configuration names, and subscribes. What could not be had in full is told as a remark.
    ///
    /// # Errors
    /// The first source that cannot be opened, by its channel's name.
    pub fn open(config: &Config) -> Result<(Sources, Vec<String>), String> {
        let mut sources = Sources { sockets: Vec::new(), captures: Vec::new() };
        let mut remarks = Vec::new();
        for channel in &config.channels {
            let opened = match &channel.source {
                Source::Multicast { line_a, line_b, interface } => {
                    let source = UdpSourceConfig {
                        interface: *interface,
                        receive_buffer_bytes: usize::try_from(config.aeron.socket_buffer_bytes)
                            .unwrap_or(usize::MAX),
                        timestamps: false,
                    };
                    sources.multicast(channel, KernelUdpSource::new(source), *line_a, *line_b)
                }
                Source::Capture { file, pace } => sources.capture(channel.id, file, *pace),
            };
            let remark = opened.map_err(|error| format!("channel {}: {error}", channel.name))?;
            remarks.extend(remark.map(|remark| format!("channel {}: {remark}", channel.name)));
        }
        Ok((sources, remarks))
    }

    fn multicast(
        &mut self,
        channel: &config::Channel,
        mut socket: KernelUdpSource,
        line_a: SocketAddrV4,
        line_b: Option<SocketAddrV4>,
    ) -> Result<Option<String>, String> {
        for (line, group) in [Some(line_a), line_b].into_iter().enumerate() {
            let Some(group) = group else { continue };
            let line = u8::try_from(line).unwrap_or(u8::MAX);
            socket.subscribe(group, channel.id, line).map_err(|error| error.to_string())?;
        }
        let shortfall = socket.buffer_shortfall().map(|bytes| {
            format!(
                "the kernel gave a receive buffer of {bytes} bytes only; raise net.core.rmem_max"
            )
        });
        self.sockets.push(socket);
        Ok(shortfall)
    }

    fn capture(
        &mut self,
        channel: ChannelId,
        file: &std::path::Path,
        pace: ConfigPace,
    ) -> Result<Option<String>, String> {
        let recorded = capture::open(file).and_then(|capture| capture.whole());
        let recorded = recorded.map_err(|error| error.to_string())?;
        let pace = match pace {
            ConfigPace::Fast => Pace::Unpaced,
            ConfigPace::Recorded => Pace::Scheduled { datagrams_at_once: 0, duration_ns: None },
        };
        let mut source = CaptureSource::new(recorded, pace);
        source.subscribe_all(channel);
        self.captures.push(source);
        Ok(None)
    }
}

impl PacketSource for Sources {
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()> {
        let sockets = self.sockets.iter_mut().map(|s| s.subscribe(group, channel, line));
        sockets.collect::<io::Result<()>>()?;
        self.captures.iter_mut().try_for_each(|c| c.subscribe(group, channel, line))
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        self.captures.iter_mut().for_each(|capture| capture.advance(now));
    }

    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        let mut taken = 0;
        let mut live = self.sockets.len();
        for socket in &mut self.sockets {
            if let Polled::Got(count) = socket.poll(budget, handler)? {
                taken += count;
            }
        }
        for capture in &mut self.captures {
            match capture.poll(budget, handler)? {
                Polled::Got(count) => taken += count,
                Polled::Idle => live += 1,
                Polled::End => {}
            }
        }
        Ok(match (taken, live) {
            (0, 0) => Polled::End,
            (0, _) => Polled::Idle,
            (count, _) => Polled::Got(count),
        })
    }

    fn drops(&self) -> u64 {
        self.sockets.iter().map(PacketSource::drops).sum()
    }
}
