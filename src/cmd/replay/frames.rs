//! What to say of frames of a capture that hold no whole datagram, so that messages which were there do not go missing unsaid.

use std::collections::BTreeMap;

use crate::cmd::replay::ReplayArgs;
use crate::net::capture::Skipped;

/// How many there are by why, where there are any.
pub(super) fn by_reason(skipped: Skipped) -> BTreeMap<&'static str, u64> {
    let Skipped { cut, not_ipv4, not_udp, fragments, lengths, links, flows } = skipped;
    let all = [
        ("cut", cut),
        ("not_ipv4", not_ipv4),
        ("not_udp", not_udp),
        ("fragments", fragments),
        ("lengths", lengths),
        ("links", links),
        ("flows", flows),
    ];
    all.into_iter().filter(|&(_, count)| count > 0).collect()
}

/// Says it: a fault where datagrams were in them.
pub(super) fn tell(
    skipped: Skipped,
    args: &ReplayArgs,
    remarks: &mut Vec<String>,
    complaints: &mut Vec<String>,
) {
    let file = args.file.display();
    let Skipped { cut, not_ipv4, not_udp, fragments, lengths, links, flows } = skipped;
    let of_datagrams = [
        (fragments, "IP fragments (messages are lost with them)"),
        (cut, "frames that are cut (messages are lost with them)"),
        (lengths, "frames whose lengths contradict each other (messages are lost with them)"),
        (flows, "datagrams to more destinations than are read"),
    ];
    let of_others = [
        (not_ipv4, "frames that are not IPv4"),
        (not_udp, "frames that are not UDP"),
        (links, "frames of a link that is not read"),
    ];
    let sentence = |&(count, what): &(u64, &str)| {
        (count > 0).then(|| format!("{file}: {count} {what} were left out"))
    };
    complaints.extend(of_datagrams.iter().filter_map(sentence));
    remarks.extend(of_others.iter().filter_map(sentence));
}
