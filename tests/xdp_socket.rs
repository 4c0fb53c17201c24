//! AF_XDP ports on a lab's interfaces: what comes and goes by them, what happens when there is no room, and that no frame is missing
//! after any of it.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/transport.rs"]
mod support;
#[path = "support/xdp.rs"]
mod xdp;

use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

use lab::{Lab, Namespace};
use postern::net::xdp::kernel::interfaces;
use postern::net::xdp::{Mode, Port, PortConfig, SocketConfig, WantedMode, XdpSocket, read_udp};
use support::{Process, orphaned, role, say, wait_for};
use xdp::{
    MODES, assert_whole, frame, group, has_program, number_of, open, port, send, sink, small,
};

/// Frames of the ports here, receiving and sending.
const FRAMES: usize = 128;

fn socket(port: &mut Port) -> &mut XdpSocket {
    port.socket().expect("bound")
}

/// What is in the ring now: the payloads.
fn received(port: &mut Port, budget: u32) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    socket(port).receive(budget, |frame, _| {
        payloads.push(read_udp(frame).expect("what was sent").payload.to_vec());
    });
    payloads
}

/// Waits for so many.
#[track_caller]
fn receive(port: &mut Port, count: usize) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    wait_for("the frames", || {
        payloads.extend(received(port, 16));
        (payloads.len() >= count).then_some(())
    });
    assert_eq!(payloads.len(), count);
    payloads
}

/// Sends frames as they are by a port.
#[track_caller]
fn transmit(port: &mut Port, frames: &[Vec<u8>]) {
    for frame in frames {
        wait_for("room", || {
            let is_queued = socket(port).send_with(|room| {
                room[..frame.len()].copy_from_slice(frame);
                frame.len()
            });
            socket(port).flush().expect("the interface is up");
            is_queued.then_some(())
        });
    }
    wait_for("the kernel to take them", || {
        socket(port).flush().expect("the interface is up");
        (socket(port).unsent() == 0).then_some(())
    });
}

fn frames(from: &Namespace, to: SocketAddrV4, count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| frame(from, to, &number.to_be_bytes())).collect()
}

fn payloads(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_be_bytes().to_vec()).collect()
}

/// A kernel socket that hears a group.
fn hearer(host: &Namespace, to: SocketAddrV4) -> UdpSocket {
    let socket = host.enter(|| {
        let socket = UdpSocket::bind(to).expect("its group");
        socket.join_multicast_v4(to.ip(), &host.address()).expect("joined");
        socket
    });
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    socket
}

fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 4_096];
    let (length, _) = socket.recv_from(&mut buffer).expect("it comes");
    buffer[..length].to_vec()
}

#[test]
fn frames_go_from_port_to_port_and_rings_go_round() {
    let Some(lab) = Lab::new("sock") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let (mut from, mut to) = (port(&a, mode), port(&b, mode));
        let expected = if mode == WantedMode::Native { Mode::Native } else { Mode::Generic };
        assert_eq!((from.mode(), to.mode(), to.binds()), (expected, expected, 1));
        to.subscribe(group(1)).expect("room");
        for round in 1..=9 {
            // Not a divisor of the rings' 64, so that every burst begins elsewhere.
            transmit(&mut from, &frames(&a, group(1), 37));
            assert_eq!(receive(&mut to, 37), payloads(37), "round {round}");
            assert_whole(socket(&mut to), FRAMES);
            assert_whole(socket(&mut from), FRAMES);
        }
        let (sent, got) = (socket(&mut from).statistics(), socket(&mut to).statistics());
        let (sent, got) = (sent.expect("told"), got.expect("told"));
        assert_eq!((sent.transmit_invalid, got.receive_dropped, got.receive_ring_full), (0, 0, 0));
        wait_for("what was sent to come back", || {
            (socket(&mut from).count_frames().sending == 0).then_some(())
        });
    }
}

#[test]
fn what_a_port_sends_the_kernel_takes() {
    let Some(lab) = Lab::new("tokernel") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let hearer = hearer(&b, group(1));
    for mode in MODES {
        let mut from = port(&a, mode);
        // In copy mode the kernel always has to be told.
        let frame = frame(&a, group(1), b"checked");
        assert!(!socket(&mut from).publish_sends(), "nothing is queued");
        assert!(socket(&mut from).send_with(|room| {
            room[..frame.len()].copy_from_slice(&frame);
            frame.len()
        }));
        assert!(socket(&mut from).publish_sends(), "it wants to be woken");
        socket(&mut from).flush().expect("up");
        assert_eq!((heard(&hearer), socket(&mut from).unsent()), (b"checked".to_vec(), 0));
        assert!(socket(&mut from).send_with(|_| 0), "none after all is no refusal");
        assert!(!socket(&mut from).publish_sends());
        assert_whole(socket(&mut from), FRAMES);
    }
}

#[test]
fn a_receiver_that_does_not_read_loses_what_has_no_room_and_nothing_else() {
    let Some(lab) = Lab::new("full") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let (mut to, mut line) = (port(&b, mode), sink(&a, group(1)));
        to.subscribe(group(1)).expect("room");
        for number in 0..300_u32 {
            send(&mut line, &number.to_be_bytes());
        }
        wait_for("the drops", || {
            let told = socket(&mut to).statistics().expect("told");
            (told.receive_dropped + told.receive_ring_full == 300 - 64).then_some(())
        });
        let count = socket(&mut to).count_frames();
        assert_eq!(count.total(), FRAMES);
        assert_eq!(receive(&mut to, 64), payloads(64), "{mode:?}: the oldest were kept");
        assert_whole(socket(&mut to), FRAMES);
        for number in 0..200_u32 {
            send(&mut line, &number.to_be_bytes());
            assert_eq!(receive(&mut to, 1), [number.to_be_bytes()], "it goes on");
        }
        assert_whole(socket(&mut to), FRAMES);
    }
}

#[test]
fn frames_may_be_kept_and_released_in_another_order() {
    let Some(lab) = Lab::new("keep") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let (mut to, mut line) = (port(&b, WantedMode::Generic), sink(&a, group(1)));
    to.subscribe(group(1)).expect("room");
    for _ in 0..5 {
        for number in 0..40_u32 {
            send(&mut line, &number.to_be_bytes());
        }
        let mut kept = Vec::new();
        wait_for("all of them", || {
            let arrived = socket(&mut to).arrived();
            kept.extend((0..arrived).map_while(|_| socket(&mut to).take()));
            (kept.len() == 40).then_some(())
        });
        assert!(socket(&mut to).take().is_none());
        socket(&mut to).publish();
        let count = socket(&mut to).count_frames();
        assert_eq!((count.received, count.total()), (40, FRAMES));
        for (number, frame) in (0_u32..).zip(&kept) {
            let udp = read_udp(socket(&mut to).bytes(frame)).expect("what was sent");
            assert_eq!(udp.payload, number.to_be_bytes());
        }
        while !kept.is_empty() {
            let frame = kept.swap_remove(kept.len() / 3);
            socket(&mut to).release(frame);
        }
        socket(&mut to).publish();
        assert_whole(socket(&mut to), FRAMES);
    }
}

#[test]
fn a_transmit_ring_that_is_full_says_so_and_goes_on() {
    let Some(lab) = Lab::new("txfull") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let mut from = port(&a, mode);
        let large = SocketConfig { receive_frames: 1_024, ..small(number_of(&b, b.interface())) };
        let mut to = open(&b, large, mode).expect("as the small one");
        to.subscribe(group(1)).expect("room");
        for _ in 0..4 {
            let frames = frames(&a, group(1), 100);
            let mut queued = 0;
            for frame in &frames {
                queued += u32::from(socket(&mut from).send_with(|room| {
                    room[..frame.len()].copy_from_slice(frame);
                    frame.len()
                }));
            }
            assert_eq!(queued, 64, "as many as there are frames");
            assert_eq!(socket(&mut from).count_frames().sending, 64);
            wait_for("the kernel to take them", || {
                socket(&mut from).flush().expect("up");
                (socket(&mut from).unsent() == 0).then_some(())
            });
            assert_eq!(receive(&mut to, 64), payloads(64));
            wait_for("the frames to come back", || {
                (socket(&mut from).count_frames().free == 64).then_some(())
            });
        }
        assert_whole(socket(&mut from), FRAMES);
        assert_whole(socket(&mut to), 1_024 + 64);
    }
}

#[test]
fn a_flood_that_nobody_subscribed_to_is_the_kernels_and_costs_the_ring_nothing() {
    let Some(lab) = Lab::new("flood") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let mut to = port(&b, mode);
        to.subscribe(group(1)).expect("room");
        let hearer = hearer(&b, group(9));
        let mut flood = sink(&a, group(9));
        for number in 0..2_000_u32 {
            send(&mut flood, &number.to_be_bytes());
            assert_eq!(heard(&hearer), number.to_be_bytes());
        }
        assert_eq!(socket(&mut to).arrived(), 0);
        let told = socket(&mut to).statistics().expect("told");
        assert_eq!((told.receive_dropped, told.receive_ring_full), (0, 0));
        assert_eq!(socket(&mut to).count_frames().receiving, 64);
        // Nor does it when a subscription ends while the port goes on.
        to.unsubscribe(group(1)).expect("it is there");
        let mut line = sink(&a, group(1));
        for _ in 0..100 {
            send(&mut line, b"not any more");
        }
        send(&mut flood, b"behind them");
        assert_eq!((heard(&hearer), socket(&mut to).arrived()), (b"behind them".to_vec(), 0));
        assert_whole(socket(&mut to), FRAMES);
    }
}

/// The sum of a header's words, complemented (RFC 1071), put where it belongs.
fn checksum(frame: &mut [u8], header: std::ops::Range<usize>) {
    let at = header.start + 10;
    frame[at..at + 2].fill(0);
    let words = frame[header].chunks(2).map(|two| u32::from(two[0]) * 256 + u32::from(two[1]));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xFFFF) + (sum >> 16);
    let [_, _, high, low] = (!sum).to_be_bytes();
    frame[at..at + 2].copy_from_slice(&[high, low]);
}

/// A datagram in two fragments: 16 bytes of UDP and then the rest.
fn fragments(whole: &[u8]) -> [Vec<u8>; 2] {
    const FIRST: usize = 16;
    let part = |payload: &[u8], flags_and_offset: u16| {
        let mut part = [&whole[..34], payload].concat();
        let length = u16::try_from(20 + payload.len()).expect("short");
        part[16..18].copy_from_slice(&length.to_be_bytes());
        part[18..20].copy_from_slice(&[0x12, 0x34]);
        part[20..22].copy_from_slice(&flags_and_offset.to_be_bytes());
        checksum(&mut part, 14..34);
        part
    };
    [part(&whole[34..34 + FIRST], 0x2000), part(&whole[34 + FIRST..], 2)]
}

/// The same datagram with four bytes of options: nothing, three times, and the end.
fn with_options(whole: &[u8]) -> Vec<u8> {
    let mut frame = [&whole[..34], &[1, 1, 1, 0][..], &whole[34..]].concat();
    frame[14] = 0x46;
    let length = u16::try_from(frame.len() - 14).expect("short");
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    checksum(&mut frame, 14..38);
    frame
}

#[test]
fn fragments_options_and_tags_pass_to_the_kernel() {
    let Some(lab) = Lab::new("foreign") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let (mut from, mut to) = (port(&a, mode), port(&b, mode));
        let hearer = hearer(&b, group(1));
        to.subscribe(group(1)).expect("room");
        let whole = frame(&a, group(1), b"in more than one piece or with options");
        transmit(&mut from, &fragments(&whole));
        assert_eq!(heard(&hearer), b"in more than one piece or with options", "put together");
        transmit(&mut from, &[with_options(&whole)]);
        assert_eq!(heard(&hearer), b"in more than one piece or with options");
        // A tag that no interface of that host has: the kernel drops it.
        let tagged = [&whole[..12], &[0x81, 0, 0, 5], &whole[12..]].concat();
        transmit(&mut from, &[tagged, whole]);
        let ring = receive(&mut to, 1);
        assert_eq!(ring, [b"in more than one piece or with options"], "the last one alone");
        assert_whole(socket(&mut to), FRAMES);
    }
}

#[test]
fn a_second_program_is_refused_and_the_first_one_stays() {
    let Some(lab) = Lab::new("second") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let mut first = port(&b, mode);
        for other in MODES {
            let error = open(&b, small(first.config().interface), other).expect_err("it is taken");
            let text = error.to_string();
            assert!(text.contains("another program is attached"), "{mode:?} and {other:?}: {text}");
        }
        let mut beside = |queue: u32| {
            // A port may be handed from thread to thread, not shared.
            let first = &mut first;
            b.enter(move || first.beside(queue)).expect_err("it cannot").to_string()
        };
        let text = beside(0);
        assert!(text.contains("another socket has the queue"), "{text}");
        let text = beside(7);
        assert!(text.contains("the interface has no such queue"), "{text}");
        first.subscribe(group(1)).expect("room");
        send(&mut sink(&a, group(1)), b"still here");
        assert_eq!(receive(&mut first, 1), [b"still here"]);
    }
    let error = open(&b, small(number_of(&b, b.interface())), WantedMode::ZeroCopy);
    let text = error.expect_err("a veth has no zero copy").to_string();
    assert!(text.contains("the driver cannot"), "{text}");
    assert!(!has_program(&b, b.interface()), "what failed left nothing");
}

#[test]
fn a_port_is_as_it_was_when_its_interface_went_down_and_came_up() {
    let Some(lab) = Lab::new("down") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let (mut from, mut to) = (port(&a, mode), port(&b, mode));
        to.subscribe(group(1)).expect("room");
        transmit(&mut from, &frames(&a, group(1), 20));
        assert_eq!(receive(&mut to, 20), payloads(20));
        a.link_down(a.interface());
        let late = frame(&a, group(1), b"late");
        assert!(socket(&mut from).send_with(|room| {
            room[..late.len()].copy_from_slice(&late);
            late.len()
        }));
        let error = socket(&mut from).flush().expect_err("it is down");
        assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN), "{error}");
        assert_eq!(socket(&mut from).unsent(), 1, "what is queued stays queued");
        a.link_up(a.interface());
        wait_for("the cable", || (a.is_up(a.interface()) && b.is_up(b.interface())).then_some(()));
        socket(&mut from).flush().expect("up again");
        assert_eq!(receive(&mut to, 1), [b"late"]);
        b.link_down(b.interface());
        b.link_up(b.interface());
        wait_for("the cable", || (a.is_up(a.interface()) && b.is_up(b.interface())).then_some(()));
        assert!(socket(&mut to).take_error().is_none(), "it lives");
        transmit(&mut from, &frames(&a, group(1), 20));
        assert_eq!(receive(&mut to, 20), payloads(20), "{mode:?}");
        assert_whole(socket(&mut to), FRAMES);
        assert_whole(socket(&mut from), FRAMES);
    }
}

#[test]
fn a_queue_that_is_bound_again_hands_on_what_was_in_it() {
    let Some(lab) = Lab::new("rebind") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let (mut to, mut line) = (port(&b, mode), sink(&a, group(1)));
        let hearer = hearer(&b, group(1));
        to.subscribe(group(1)).expect("room");
        for round in 1..=3 {
            for number in 0..30_u32 {
                send(&mut line, &number.to_be_bytes());
            }
            let mut got = wait_for("the first", || {
                let got = received(&mut to, 1);
                (!got.is_empty()).then_some(got)
            });
            let drain = |old: &mut XdpSocket| {
                old.receive(64, |frame, _| {
                    got.push(read_udp(frame).expect("what was sent").payload.to_vec());
                });
            };
            b.enter(|| to.rebind(drain)).expect("it was ours");
            assert!(got.len() > 1, "{mode:?}: {} were in the ring", got.len());
            // What was on its way and no longer came to the ring came to the kernel's socket.
            while got.len() < 30 {
                got.push(heard(&hearer));
            }
            assert_eq!(got, payloads(30), "round {round}");
            assert_eq!(to.binds(), 1 + round);
            assert_whole(socket(&mut to), FRAMES);
        }
        send(&mut line, b"again");
        assert_eq!(receive(&mut to, 1), [b"again"], "subscriptions stay");
    }
}

#[test]
fn an_interface_that_is_removed_is_told_by_the_socket() {
    let Some(lab) = Lab::new("removed") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let mut to = port(&b, WantedMode::Native);
    to.subscribe(group(1)).expect("room");
    send(&mut sink(&a, group(1)), b"last");
    wait_for("it", || (socket(&mut to).arrived() > 0).then_some(()));
    b.ip(&["link", "del", b.interface()]);
    assert_eq!(receive(&mut to, 1), [b"last"], "what was in the ring stays");
    let error = socket(&mut to).take_error().expect("its interface is gone");
    assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN), "{error}");
    assert_whole(socket(&mut to), FRAMES);
    b.enter(|| to.rebind(|_| {})).expect_err("there is nothing to bind to");
    assert!(to.socket().is_none());
}

/// Holds a port until it is killed.
#[test]
fn child() {
    let Some(arguments) = role() else { return };
    assert_eq!(arguments[0], "hold");
    let all = interfaces().expect("the kernel tells");
    let own = all.iter().find(|one| one.kind.as_deref() == Some("veth")).expect("the lab made it");
    let mode = if arguments[1] == "native" { WantedMode::Native } else { WantedMode::Generic };
    let port = Port::open(&PortConfig { socket: small(own.index), mode, stamps: true });
    let mut port = port.unwrap_or_else(|error| panic!("{error}"));
    port.subscribe(group(1)).expect("room");
    let is_orphan = orphaned();
    say("ready");
    while !is_orphan.load(std::sync::atomic::Ordering::Relaxed) {
        for _ in received(&mut port, 16) {
            say("got");
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_process_that_is_killed_leaves_the_interface_as_it_was() {
    let Some(lab) = Lab::new("kill") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let (hearer, mut line) = (hearer(&b, group(1)), sink(&a, group(1)));
    for mode in ["generic", "native"] {
        let mut command = b.command(std::env::current_exe().expect("this binary has a path"));
        command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
        let mut child = Process::spawn(command, "hold", &[mode]);
        child.wait_ready();
        assert!(has_program(&b, b.interface()), "{mode}");
        send(&mut line, b"by the ring");
        assert_eq!(child.next_said(), "got");
        child.kill();
        assert!(!has_program(&b, b.interface()), "{mode}");
        send(&mut line, b"by the kernel");
        assert_eq!(heard(&hearer), b"by the kernel", "{mode}: and not what the ring had");
    }
}
