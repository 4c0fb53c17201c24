//! Every bad event that Aeron has for us becomes the value that it should.

#[path = "support/transport.rs"]
mod support;

use std::path::Path;
use std::sync::atomic::Ordering;

use postern::transport::{
    AeronConfig, Client, DownReason, DriverMode, Inbound, OfferError, Outbound, Publication,
    StreamEvent, Subscription, TransportDown, TransportError,
};
use support::{
    Directory, Process, drive, event, free_port, now, offer, orphaned, receive, role, say, send,
    wait_for,
};

const STREAM: i32 = 1001;

/// Not a test by itself: what this binary does when a test starts it as another process.
#[test]
fn child() {
    let Some(told) = role() else { return };
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let orphaned = orphaned();
    match told[..] {
        ["driver", directory] => {
            let config = AeronConfig { mode: DriverMode::Shared, ..alert(directory) };
            let _driver = postern::transport::Driver::start(&config).expect("started");
            say("ready");
            wait_until_orphaned(|| orphaned.load(Ordering::Relaxed));
        }
        ["publisher", directory, channel] => {
            let mut client = Client::connect(&alert(directory)).expect("connected");
            let mut publication = client.add_publication(channel, STREAM).expect("published");
            say(&publication.session_id().to_string());
            while !orphaned.load(Ordering::Relaxed) {
                client.service(now()).expect("up");
                let _ = offer(&mut publication, b"message");
                std::thread::yield_now();
            }
        }
        ["subscriber", directory, channel] => {
            let mut client = Client::connect(&alert(directory)).expect("connected");
            let mut subscription = client.add_subscription(channel, STREAM).expect("subscribed");
            say("ready");
            while !orphaned.load(Ordering::Relaxed) {
                client.service(now()).expect("up");
                subscription.poll(100, &mut |_| {}).expect("open");
                std::thread::yield_now();
            }
        }
        _ => panic!("no such role: {told:?}"),
    }
}

fn alert(directory: &str) -> AeronConfig {
    let settings = Directory(Path::new("/nonexistent").to_owned()).alert();
    AeronConfig { directory: directory.into(), ..settings }
}

/// Unlike the other waits this one has no end of its own: the parent decides.
fn wait_until_orphaned(orphaned: impl Fn() -> bool) {
    while !orphaned() {
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
}

fn driver(directory: &Directory) -> Process {
    let mut driver = Process::start("driver", &[directory.0.to_str().expect("ASCII")]);
    driver.wait_ready();
    driver
}

fn external(directory: &Directory) -> AeronConfig {
    AeronConfig { mode: DriverMode::External, ..directory.alert() }
}

fn open(client: &mut Client, channel: &str) -> (Publication, Subscription) {
    let subscription = client.add_subscription(channel, STREAM).expect("subscribed");
    let publication = client.add_publication(channel, STREAM).expect("published");
    (publication, subscription)
}

/// Services the client until it is down, and checks that all of it says so from then on.
fn goes_down(
    client: &mut Client,
    publication: &mut Publication,
    subscription: &mut Subscription,
) -> DownReason {
    let reason = wait_for("end of the client", || {
        client.service(now()).err().map(|TransportDown| client.down().expect("a reason"))
    });
    assert_eq!(offer(publication, b"message"), Err(OfferError::Closed));
    assert!(publication.is_closed() && !publication.is_connected());
    assert_eq!(subscription.poll(10, &mut |_| {}), Err(TransportDown));
    assert!(subscription.is_closed());
    assert_eq!(client.service(now()), Err(TransportDown));
    assert!(!client.error_text().is_empty());
    let told = client.down_text().expect("it is down");
    let key = match reason {
        DownReason::DriverTimeout => "aeron.driver_timeout_ms",
        DownReason::ClientTimeout | DownReason::ServiceTimeout => "aeron.client_liveness_ms",
        DownReason::Conductor(_) | DownReason::EventsUnread => "",
    };
    assert!(told.contains(key) && told.contains("(Aeron: "), "{told}");
    let refused = client.add_publication("aeron:ipc", STREAM).expect_err("the client is down");
    assert_eq!(refused, TransportError::Down(reason));
    reason
}

#[test]
fn driver_killed_and_started_again() {
    let directory = Directory::new();
    let mut first = driver(&directory);
    let config = external(&directory);
    let mut client = Client::start(&config).expect("started");
    let channel = format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
    let (mut publication, mut subscription) = open(&mut client, &channel);
    send(&mut [&mut client], &mut publication, b"before");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"before");

    first.kill();
    let killed = now();
    let reason = goes_down(&mut client, &mut publication, &mut subscription);
    assert_eq!(reason, DownReason::DriverTimeout);
    let noticed_ms = now().since(killed) / 1_000_000;
    eprintln!("driver death noticed after {noticed_ms} ms");

    // The killed driver's directory does not keep the next one from starting.
    let _second = driver(&directory);
    assert_eq!(offer(&mut publication, b"message"), Err(OfferError::Closed));
    drop((publication, subscription, client));
    let mut client = Client::start(&config).expect("started again");
    let (mut publication, mut subscription) = open(&mut client, &channel);
    send(&mut [&mut client], &mut publication, b"after");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"after");
}

#[test]
fn old_streams_may_be_dropped_after_the_new_client_was_made() {
    let directory = Directory::new();
    let mut first = driver(&directory);
    let mut old = Client::start(&external(&directory)).expect("started");
    let (mut old_publication, mut old_subscription) = open(&mut old, "aeron:ipc");
    first.kill();
    goes_down(&mut old, &mut old_publication, &mut old_subscription);
    let _second = driver(&directory);
    let mut client = Client::start(&external(&directory)).expect("started again");
    let (mut publication, mut subscription) = open(&mut client, "aeron:ipc");
    drop((old, old_publication, old_subscription));
    send(&mut [&mut client], &mut publication, b"after");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"after");
}

#[test]
fn driver_ended_in_good_order() {
    let directory = Directory::new();
    let config = AeronConfig { mode: DriverMode::Shared, ..directory.alert() };
    let driver = postern::transport::Driver::start(&config).expect("started");
    let mut client = Client::connect(&config).expect("connected");
    let (mut publication, mut subscription) = open(&mut client, "aeron:ipc");
    send(&mut [&mut client], &mut publication, b"before");
    drop(driver);
    let reason = goes_down(&mut client, &mut publication, &mut subscription);
    assert_eq!(reason, DownReason::DriverTimeout);
}

/// Blocks this thread for longer than the client may be silent.
fn stall(config: &AeronConfig) {
    let end = now().plus(config.client_liveness_ms * 1_500_000);
    while now() < end {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

#[test]
fn our_thread_stalls_beside_a_live_driver() {
    let directory = Directory::new();
    let _driver = driver(&directory);
    let config = external(&directory);
    let mut client = Client::start(&config).expect("started");
    let (mut publication, mut subscription) = open(&mut client, "aeron:ipc");
    stall(&config);
    let reason = goes_down(&mut client, &mut publication, &mut subscription);
    assert!(
        matches!(reason, DownReason::ClientTimeout | DownReason::ServiceTimeout),
        "1001 or 1002, whichever is noticed first: {reason:?}"
    );
    drop((publication, subscription, client));
    let mut client = Client::start(&config).expect("a new client is welcome");
    let (mut publication, _subscription) = open(&mut client, "aeron:ipc");
    send(&mut [&mut client], &mut publication, b"after");
}

#[test]
fn our_thread_stalls_with_the_driver_on_it() {
    let directory = Directory::new();
    let config = directory.alert();
    let mut client = Client::start(&config).expect("started");
    let (mut publication, mut subscription) = open(&mut client, "aeron:ipc");
    stall(&config);
    let reason = goes_down(&mut client, &mut publication, &mut subscription);
    assert!((1000..=1002).contains(&reason.code()), "one of the three timeouts: {reason:?}");
    let told = client.down_text().expect("it is down");
    assert!(told.starts_with("this thread") && told.contains("was paused"), "{told}");
}

/// A publisher in another process dies without a word.
fn publisher_killed(channel: &str) {
    let directory = Directory::new();
    let _driver = driver(&directory);
    let told = [directory.0.to_str().expect("ASCII"), channel];
    let mut publisher = Process::start("publisher", &told);
    // Waits without giving signs of life, so before there is a client.
    let source = publisher.next_said().parse().expect("its session id");
    let mut client = Client::start(&external(&directory)).expect("started");
    let mut subscription = client.add_subscription(channel, STREAM).expect("subscribed");
    assert_eq!(event(&mut [&mut client], &mut subscription), StreamEvent::SourceUp(source));
    assert_eq!(receive(&mut [&mut client], &mut subscription), (source, b"message".to_vec()));
    publisher.kill();
    let killed = now();
    let mut rest = 0;
    let gone = drive("end of the publisher", &mut [&mut client], || {
        rest += subscription.poll(100, &mut |_| {}).expect("open");
        subscription.next_event()
    });
    assert_eq!(gone, StreamEvent::SourceDown(source));
    eprintln!("{channel}: told after {} ms, {rest} left", now().since(killed) / 1_000_000);
}

#[test]
fn publisher_killed_ipc() {
    publisher_killed("aeron:ipc");
}

#[test]
fn publisher_killed_udp() {
    publisher_killed(&format!("aeron:udp?endpoint=127.0.0.1:{}", free_port()));
}

/// A subscriber in another process dies without a word: at first it merely seems slow.
fn subscriber_killed(channel: &str) {
    let directory = Directory::new();
    let _driver = driver(&directory);
    let told = [directory.0.to_str().expect("ASCII"), channel];
    let mut subscriber = Process::start("subscriber", &told);
    // Waits without giving signs of life, so before there is a client.
    subscriber.wait_ready();
    let mut client = Client::start(&external(&directory)).expect("started");
    let mut publication = client.add_publication(channel, STREAM).expect("published");
    send(&mut [&mut client], &mut publication, b"message");
    subscriber.kill();
    let mut back_pressured = false;
    drive("end of the subscriber", &mut [&mut client], || {
        match offer(&mut publication, &[0; 1024]) {
            Ok(()) | Err(OfferError::AdminAction) => None,
            Err(OfferError::BackPressured) => {
                back_pressured = true;
                None
            }
            Err(OfferError::NotConnected) => Some(()),
            Err(error) => panic!("{error}"),
        }
    });
    assert!(back_pressured, "the window was full before the driver gave it up");
    assert!(!publication.is_connected());
    assert!(client.stats().back_pressured > 0 && client.stats().not_connected > 0);
}

#[test]
fn subscriber_killed_ipc() {
    subscriber_killed("aeron:ipc");
}

#[test]
fn subscriber_killed_udp() {
    subscriber_killed(&format!("aeron:udp?endpoint=127.0.0.1:{}", free_port()));
}

#[test]
fn back_pressure_admin_action_and_not_connected() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let mut publication = client.add_publication("aeron:ipc", STREAM).expect("published");
    assert!(!publication.is_connected());
    assert_eq!(offer(&mut publication, b"message"), Err(OfferError::NotConnected));
    let mut subscription = client.add_subscription("aeron:ipc", STREAM).expect("subscribed");
    send(&mut [&mut client], &mut publication, &[0; 1000]);

    let refused =
        drive("full window", &mut [&mut client], || offer(&mut publication, &[0; 1000]).err());
    assert_eq!(refused, OfferError::BackPressured);
    assert!(publication.is_connected());

    let mut admin_actions = 0u64;
    drive("four terms", &mut [&mut client], || {
        subscription.poll(10, &mut |_| {}).expect("open");
        match offer(&mut publication, &[0; 1000]) {
            Ok(()) | Err(OfferError::BackPressured) => {}
            Err(OfferError::AdminAction) => admin_actions += 1,
            Err(error) => panic!("{error}"),
        }
        (admin_actions == 4).then_some(())
    });
    let stats = client.stats();
    assert_eq!(stats.admin_action, 4);
    assert!(stats.back_pressured > 0 && stats.not_connected > 0, "{stats:?}");

    drop(subscription);
    drive("leaving subscriber", &mut [&mut client], || (!publication.is_connected()).then_some(()));
    let refused = wait_for("refusal", || offer(&mut publication, &[0; 1000]).err());
    assert_eq!(refused, OfferError::NotConnected);
}

#[test]
fn largest_position() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    // The last term there can be, two kilobytes before its end.
    let channel = "aeron:ipc?term-length=64k|init-term-id=0|term-id=2147483647|term-offset=63488";
    let mut subscription = client.add_subscription("aeron:ipc", STREAM).expect("subscribed");
    let mut publication = client.add_publication(channel, STREAM).expect("published");
    send(&mut [&mut client], &mut publication, &[0; 1000]);
    let refused = drive("end of the stream", &mut [&mut client], || {
        subscription.poll(10, &mut |_| {}).expect("open");
        match offer(&mut publication, &[0; 1000]) {
            Ok(()) => None,
            Err(error) if error.is_retryable() => None,
            Err(error) => Some(error),
        }
    });
    assert_eq!(refused, OfferError::MaxPositionExceeded);
    assert_eq!(offer(&mut publication, &[0; 1000]), Err(OfferError::MaxPositionExceeded));
    assert!(client.down().is_none());
    // A stream opened anew goes on.
    let mut publication = client.add_publication("aeron:ipc", STREAM).expect("published");
    send(&mut [&mut client], &mut publication, b"anew");
}

#[test]
fn too_long_does_not_reach_aeron() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let (mut publication, mut subscription) = open(&mut client, "aeron:ipc");
    send(&mut [&mut client], &mut publication, b"before");
    let longest = publication.message_bytes_max();
    let refused = publication.offer(longest + 1, |_| panic!("must not be asked to write"));
    assert_eq!(refused, Err(OfferError::TooLong));
    assert_eq!(publication.offer(usize::MAX, |_| {}), Err(OfferError::TooLong));
    send(&mut [&mut client], &mut publication, b"after");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"before");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"after");
    assert_eq!(client.stats().refused_offers, 2);
}

#[test]
fn a_writer_that_panics_gives_its_claim_back() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let (mut publication, mut subscription) = open(&mut client, "aeron:ipc");
    send(&mut [&mut client], &mut publication, b"before");
    let offer = std::panic::AssertUnwindSafe(|| publication.offer(100, |_| panic!("no message")));
    assert!(std::panic::catch_unwind(offer).is_err());
    send(&mut [&mut client], &mut publication, b"after");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"before");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"after");
}

#[test]
fn a_bad_channel_is_named_with_what_aeron_says() {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    for channel in [
        "",
        "nonsense",
        "aeron:udp",
        "aeron:udp?endpoint=",
        "aeron:udp?endpoint=256.256.256.256:1",
        "aeron:udp?endpoint=no.such.host.invalid:40123",
        "aeron:udp?endpoint=127.0.0.1:99999",
        "aeron:ipc?term-length=12345",
        "aeron:ipc\0",
    ] {
        for kind in ["publication", "subscription"] {
            let refused = if kind == "publication" {
                client.add_publication(channel, STREAM).err()
            } else if channel.contains("term-length") {
                // It means nothing to a subscriber.
                continue;
            } else {
                client.add_subscription(channel, STREAM).err()
            };
            let error = refused.unwrap_or_else(|| panic!("{kind} of `{channel}` was opened"));
            let text = error.to_string();
            assert!(matches!(error, TransportError::Stream { .. }), "{text}");
            assert!(text.contains(&format!("`{channel}` stream {STREAM}: ")), "{text}");
            assert!(!text.ends_with(": "), "Aeron says why: {text}");
            assert!(!text.contains('\n'), "in one line: {text}");
            eprintln!("{kind}: {text}");
        }
    }
    // The client lives on.
    let (mut publication, mut subscription) = open(&mut client, "aeron:ipc");
    send(&mut [&mut client], &mut publication, b"well");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"well");
}

#[test]
fn no_driver_at_all() {
    let directory = Directory::new();
    let error = Client::start(&external(&directory)).expect_err("there is none");
    let text = error.to_string();
    assert!(matches!(error, TransportError::Client { .. }), "{text}");
    assert!(text.contains(directory.0.to_str().expect("ASCII")), "{text}");
    eprintln!("{text}");
}
