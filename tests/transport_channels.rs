//! Every kind of channel sends and receives, in every way to run the driver.

#[path = "support/transport.rs"]
mod support;

use postern::telemetry::Registry;
use postern::transport::{
    AeronConfig, Client, Driver, DriverCores, DriverIdle, DriverMode, Fragment, Inbound,
    OfferError, Outbound, StreamEvent, TransportCounters,
};
use support::{Directory, drive, event, free_port, now, offer, receive, send, wait_for};

const STREAM: i32 = 1001;

/// Sends a few messages both ways of thinking: bytes arrive in order, whole, and with their source.
fn round(client: &mut Client, publish: &str, subscribe: &str) {
    let mut subscription = client.add_subscription(subscribe, STREAM).expect("subscribed");
    let mut publication = client.add_publication(publish, STREAM).expect("published");
    let source = publication.session_id();
    assert_eq!(event(&mut [client], &mut subscription), StreamEvent::SourceUp(source));
    for number in 0u8..20 {
        let message = vec![number; usize::from(number) * 8];
        send(&mut [client], &mut publication, &message);
        assert_eq!(receive(&mut [client], &mut subscription), (source, message));
    }
    let longest = vec![7; publication.message_bytes_max()];
    send(&mut [client], &mut publication, &longest);
    assert_eq!(receive(&mut [client], &mut subscription), (source, longest));
    assert!(publication.is_connected() && subscription.is_connected());
}

#[test]
fn ipc() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    round(&mut client, "aeron:ipc", "aeron:ipc");
}

#[test]
fn udp_unicast() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let channel = format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
    round(&mut client, &channel, &channel);
}

#[test]
fn a_port_of_the_system_s_choice_can_be_asked_for() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let subscribe = "aeron:udp?endpoint=127.0.0.1:0";
    let mut subscription = client.add_subscription(subscribe, STREAM).expect("subscribed");
    let endpoint = drive("address", &mut [&mut client], || subscription.resolved_endpoint());
    let channel = format!("aeron:udp?endpoint={endpoint}");
    let mut publication = client.add_publication(&channel, STREAM).expect("published");
    send(&mut [&mut client], &mut publication, b"found");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"found");
}

#[test]
fn udp_multicast() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let channel = format!("aeron:udp?endpoint=224.20.30.39:{}|interface=127.0.0.1", free_port());
    round(&mut client, &channel, &channel);
}

#[test]
fn dynamic_destinations_with_two_subscribers() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let control = format!("control=127.0.0.1:{}|control-mode=dynamic", free_port());
    let subscribe = format!("aeron:udp?endpoint=127.0.0.1:0|{control}");
    let mut publication =
        client.add_publication(&format!("aeron:udp?{control}"), STREAM).expect("published");
    let mut first = client.add_subscription(&subscribe, STREAM).expect("subscribed");
    let mut second = client.add_subscription(&subscribe, STREAM).expect("subscribed");
    let source = StreamEvent::SourceUp(publication.session_id());
    assert_eq!(event(&mut [&mut client], &mut first), source);
    assert_eq!(event(&mut [&mut client], &mut second), source);
    for number in 0u8..20 {
        send(&mut [&mut client], &mut publication, &[number; 64]);
        assert_eq!(receive(&mut [&mut client], &mut first).1, [number; 64]);
        assert_eq!(receive(&mut [&mut client], &mut second).1, [number; 64]);
    }
}

/// A publisher that leaves in good order is told of like one that dies, only sooner.
#[test]
fn a_publisher_that_leaves_is_an_event() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let udp = format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
    for channel in ["aeron:ipc", &udp] {
        let mut subscription = client.add_subscription(channel, STREAM).expect("subscribed");
        let mut publication = client.add_publication(channel, STREAM).expect("published");
        let source = publication.session_id();
        assert_eq!(event(&mut [&mut client], &mut subscription), StreamEvent::SourceUp(source));
        send(&mut [&mut client], &mut publication, b"last");
        drop(publication);
        let left = now();
        assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"last");
        assert_eq!(event(&mut [&mut client], &mut subscription), StreamEvent::SourceDown(source));
        eprintln!("{channel}: told after {} ms", now().since(left) / 1_000_000);
    }
}

#[test]
fn two_embedded_drivers_in_one_thread() {
    let (here, there) = (Directory::new(), Directory::new());
    let mut gateway = Client::start(&here.calm()).expect("started");
    let mut venue = Client::start(&there.calm()).expect("started");
    let channel = format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
    let mut subscription = venue.add_subscription(&channel, STREAM).expect("subscribed");
    let mut publication = gateway.add_publication(&channel, STREAM).expect("published");
    for number in 0u8..20 {
        send(&mut [&mut gateway, &mut venue], &mut publication, &[number; 96]);
        let (source, message) = receive(&mut [&mut gateway, &mut venue], &mut subscription);
        assert_eq!((source, &message[..]), (publication.session_id(), &[number; 96][..]));
    }
    drop(publication);
    drop(gateway);
    assert!(here.0.read_dir().is_err(), "the directory is removed at the end");
    assert!(there.0.join("cnc.dat").exists(), "the other driver is not touched");
}

#[test]
fn streams_outlive_their_client_and_driver_without_harm() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let mut subscription = client.add_subscription("aeron:ipc", STREAM).expect("subscribed");
    let mut publication = client.add_publication("aeron:ipc", STREAM).expect("published");
    send(&mut [&mut client], &mut publication, b"last");
    drop(client);
    let _ = offer(&mut publication, b"nobody moves this");
    let mut read = Vec::new();
    let mut take = |fragment: Fragment<'_>| read.push(fragment.bytes.to_vec());
    let _ = subscription.poll(10, &mut take);
    drop(publication);
    drop(subscription);
}

fn thread_names() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs is there");
    let mut names: Vec<String> = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("aeron"))
        .collect();
    names.sort();
    names
}

fn allowed_cores(thread: &str) -> Option<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs is there");
    let statuses =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let field = |status: &str, name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?.to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let mut ours = statuses.filter(|status| field(status, "Name").as_deref() == Some(thread));
    ours.next().and_then(|status| field(&status, "Cpus_allowed_list"))
}

/// In one test, as it counts the threads of the process.
#[test]
fn drivers_with_threads_of_their_own_are_named_and_placed() {
    let last_core = std::thread::available_parallelism().expect("there is a core").get() - 1;
    let core = u8::try_from(last_core).ok();
    let cores =
        DriverCores { conductor: core, sender: core, receiver: core, native_resource: core };
    let modes: [(DriverMode, &[&str]); 2] = [
        (DriverMode::Shared, &["aeron-md-shd"]),
        (DriverMode::Dedicated, &["aeron-md-cnd", "aeron-md-nra", "aeron-md-rcv", "aeron-md-snd"]),
    ];
    for (mode, names) in modes {
        let directory = Directory::new();
        let idle = DriverIdle::Sleep;
        let config = AeronConfig { mode, cores, idle, ..directory.calm() };
        let mut client = Client::start(&config).expect("started");
        assert_eq!(client.driver_mode(), mode);
        wait_for("thread names", || (thread_names() == names).then_some(()));
        for name in names {
            wait_for("placement", || (allowed_cores(name)? == last_core.to_string()).then_some(()));
        }
        let channel = format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
        round(&mut client, &channel, &channel);
        round(&mut client, "aeron:ipc", "aeron:ipc");
        drop(client);
        assert_eq!(thread_names(), Vec::<String>::new());
    }
}

#[test]
fn a_driver_of_one_thread_serves_a_client_of_another() {
    let directory = Directory::new();
    let config = directory.calm();
    let mut driver = Driver::start(&config).expect("started");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut client = Client::connect(&config).expect("connected");
            assert_eq!(client.driver_mode(), DriverMode::External);
            round(&mut client, "aeron:ipc", "aeron:ipc");
        });
        wait_for("end of the other thread", || {
            driver.service().expect("the driver runs");
            other.is_finished().then_some(())
        });
        other.join().expect("the other thread did well");
    });
}

#[test]
fn a_message_of_several_frames_is_dropped_and_counted() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let registry = Registry::new();
    client.count_into(TransportCounters::new(&registry));
    let mut subscription = client.add_subscription("aeron:ipc", STREAM).expect("subscribed");
    let mut publication = client.add_publication("aeron:ipc", STREAM).expect("published");
    let longest = publication.message_bytes_max();
    assert_eq!(publication.offer(longest + 1, |_| {}), Err(OfferError::TooLong));

    // A peer's own client may send what ours does not.
    let context = rusteron_client::AeronContext::new().expect("a context");
    let name = std::ffi::CString::new(directory.0.to_str().expect("an ASCII path")).expect("C");
    context.set_dir(&name).expect("set");
    context.set_use_conductor_agent_invoker(true).expect("set");
    context.set_driver_timeout_ms(20_000).expect("set");
    let peer = rusteron_client::Aeron::new(&context).expect("a client");
    peer.start().expect("started");
    let pending = peer.async_add_exclusive_publication(c"aeron:ipc", STREAM).expect("asked");
    let theirs = drive("peer's publication", &mut [&mut client], || {
        peer.main_do_work().expect("it runs");
        pending.poll().expect("accepted")
    });
    drive("long message", &mut [&mut client], || theirs.offer(&vec![1; longest * 2 + 1]).ok());
    send(&mut [&mut client], &mut publication, b"short");
    let mut read = Vec::new();
    wait_for("short message and three refused parts", || {
        client.service(now()).expect("up");
        let mut take = |fragment: Fragment<'_>| read.push(fragment.bytes.to_vec());
        subscription.poll(10, &mut take).expect("open");
        (!read.is_empty() && client.stats().refused_fragments >= 3).then_some(())
    });
    assert_eq!(read, [b"short"]);
    assert_eq!(client.stats().refused_fragments, 3);
    assert_eq!(client.stats().refused_offers, 1);
    client.service(now().plus(10_000_000)).expect("up");
    assert_eq!(client.stats().sources_up, 2);
    drop((theirs, pending, peer));
}
