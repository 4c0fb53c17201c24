//! The functions that the media driver calls, over those of Aeron's own for its kernel sockets.

#![allow(unsafe_code, reason = "functions that C calls with addresses, and C functions they call")]

use std::ffi::{c_int, c_void};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use rusteron_media_driver::{AeronDriverContext, bindings as aeron};

use crate::transport::xdp::counts::Count;
use crate::transport::xdp::endpoint::{Asked, Endpoint};
use crate::transport::xdp::lane::{BATCH, Lane, Parcel, SHARERS_MAX, Side};
use crate::transport::xdp::{Shared, XdpTransport};

type Transport = aeron::aeron_udp_channel_transport_t;
type Poller = aeron::aeron_udp_transport_poller_t;
type Address = aeron::sockaddr_storage;
type Context = aeron::aeron_driver_context_t;
type Affinity = aeron::aeron_udp_channel_transport_affinity_t;
type Parameters = aeron::aeron_udp_channel_transport_params_t;
type OnReceived = aeron::aeron_udp_transport_recv_func_t;

/// Reads of a kernel socket in one poll, of several datagrams each.
const KERNEL_READS_MAX: usize = 16;

/// What one half of the driver polls. Only that half's thread touches it, from the poller's beginning to its end.
struct Half {
    /// Whose it is.
    poller: *mut Poller,
    /// Transports that stay with the kernel, polled as Aeron polls them.
    kernel: Poller,
    /// Those that do not, by number.
    endpoints: Vec<Option<NonNull<Transport>>>,
    /// What is being handled; empty between polls.
    batch: Vec<Parcel>,
}

impl Half {
    fn new() -> Half {
        Half {
            poller: std::ptr::null_mut(),
            kernel: Poller::default(),
            endpoints: Vec::new(),
            batch: Vec::with_capacity(BATCH),
        }
    }
}

/// The table and what its functions find by it: the driver keeps the table's address in its context, and the table is this
/// struct's first field.
#[repr(C)]
struct Table {
    functions: aeron::aeron_udp_channel_transport_bindings_t,
    shared: Arc<Shared>,
    halves: [Half; 2],
}

/// A media driver's functions. To be kept until the driver has ended.
pub(in crate::transport) struct Bindings(NonNull<Table>);

impl Drop for Bindings {
    fn drop(&mut self) {
        // SAFETY: made from a box in `new`, and the driver that had it has ended, by what this type asks for.
        let table = unsafe { Box::from_raw(self.0.as_ptr()) };
        for lane in &table.shared.lanes {
            lane.close();
        }
    }
}

impl Bindings {
    pub(in crate::transport) fn new(transport: XdpTransport) -> Bindings {
        let functions = aeron::aeron_udp_channel_transport_bindings_t {
            init_func: Some(init),
            reconnect_func: Some(aeron::aeron_udp_channel_transport_reconnect),
            close_func: Some(close),
            recvmmsg_func: Some(aeron::aeron_udp_channel_transport_recvmmsg),
            send_func: Some(send),
            get_so_rcvbuf_func: Some(aeron::aeron_udp_channel_transport_get_so_rcvbuf),
            bind_addr_and_port_func: Some(aeron::aeron_udp_channel_transport_bind_addr_and_port),
            poller_init_func: Some(poller_init),
            poller_close_func: Some(poller_close),
            poller_add_func: Some(poller_add),
            poller_remove_func: Some(poller_remove),
            poller_poll_func: Some(poller_poll),
            meta_info: aeron::aeron_udp_channel_transport_bindings_stct_meta_info_fields {
                name: c"af_xdp".as_ptr(),
                type_: c"media".as_ptr(),
                // For the driver's own listing of its configuration only.
                source_symbol: std::ptr::null(),
            },
        };
        let halves = Side::BOTH.map(|_| Half::new());
        let table = Box::new(Table { functions, shared: transport.shared, halves });
        Bindings(NonNull::from(Box::leak(table)))
    }

    /// Has a driver that is yet to be started use them. They are to live until that driver has ended: the one caller,
    /// [`crate::transport::Driver`], keeps both in that order.
    ///
    /// # Errors
    /// Aeron's code.
    pub(in crate::transport) fn install(&self, context: &AeronDriverContext) -> Result<(), i32> {
        let functions = self.0.cast::<aeron::aeron_udp_channel_transport_bindings_t>();
        let context = context.get_inner();
        // SAFETY: a driver's context; the table's first field is what is asked for, and it outlives the driver, as the
        // function's description says.
        let code = unsafe {
            aeron::aeron_driver_context_set_udp_channel_transport_bindings(
                context,
                functions.as_ptr(),
            )
        };
        if code < 0 { Err(code) } else { Ok(()) }
    }
}

/// The table of a driver.
///
/// # Safety
/// `context` is that of a driver with our bindings.
unsafe fn table_of(context: *mut Context) -> NonNull<Table> {
    // SAFETY: by this function's contract.
    let functions =
        unsafe { aeron::aeron_driver_context_get_udp_channel_transport_bindings(context) };
    // SAFETY: only drivers with our table call functions of it, so it is there.
    unsafe { NonNull::new_unchecked(functions.cast::<Table>()) }
}

/// One half of it.
///
/// # Safety
/// As [`table_of`]. What it leads to is the half's thread's alone.
unsafe fn half_of(table: NonNull<Table>, side: Side) -> *mut Half {
    // SAFETY: a field of a table that is there; no reference is made.
    let halves = unsafe { &raw mut (*table.as_ptr()).halves };
    // SAFETY: there are two.
    unsafe { halves.cast::<Half>().add(side.index()) }
}

/// What a transport's `bindings_clientd` leads to, from its beginning to its close.
struct Bound {
    endpoint: Endpoint,
    table: NonNull<Table>,
}

/// What `transport` is bound to; `None` before its beginning and after its close.
///
/// # Safety
/// `transport` is the driver's, with our bindings, and the caller is the one thread that has to do with it now.
unsafe fn bound_of<'a>(transport: *mut Transport) -> Option<&'a mut Bound> {
    // SAFETY: by this function's contract.
    let bound = unsafe { (*transport).bindings_clientd };
    // SAFETY: null, or from a box that is freed in `close`.
    unsafe { bound.cast::<Bound>().as_mut() }
}

/// The IPv4 address in `address`; `None` if there is none, or it is of another family.
///
/// # Safety
/// `address` is null or a socket address.
unsafe fn ipv4(address: *const Address) -> Option<SocketAddrV4> {
    let address = address.cast::<libc::sockaddr_in>();
    // SAFETY: by this function's contract: it is null, or begins as this does, whatever its family.
    let address = unsafe { address.as_ref() }?;
    if libc::c_int::from(address.sin_family) != libc::AF_INET {
        return None;
    }
    let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
    Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
}

/// What a socket is bound to.
fn local(fd: c_int) -> Option<SocketAddrV4> {
    if fd < 0 {
        return None;
    }
    // SAFETY: an open socket of the transport's, for as long as this function lasts.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    socket2::SockRef::from(&socket).local_addr().ok()?.as_socket_ipv4()
}

fn side_of(affinity: Affinity) -> Side {
    match affinity {
        aeron::aeron_udp_channel_transport_affinity_en::AERON_UDP_CHANNEL_TRANSPORT_AFFINITY_SENDER => {
            Side::Sender
        }
        aeron::aeron_udp_channel_transport_affinity_en::AERON_UDP_CHANNEL_TRANSPORT_AFFINITY_RECEIVER
        | aeron::aeron_udp_channel_transport_affinity_en::AERON_UDP_CHANNEL_TRANSPORT_AFFINITY_CONDUCTOR => {
            Side::Receiver
        }
    }
}

/// Opens the kernel's socket, and finds out what of it goes past the kernel.
unsafe extern "C" fn init(
    transport: *mut Transport,
    bind_address: *mut Address,
    multicast_interface: *mut Address,
    connect_address: *mut Address,
    parameters: *mut Parameters,
    context: *mut Context,
    affinity: Affinity,
) -> c_int {
    // SAFETY: the driver's arguments, handed on.
    let code = unsafe {
        aeron::aeron_udp_channel_transport_init(
            transport,
            bind_address,
            multicast_interface,
            connect_address,
            parameters,
            context,
            affinity,
        )
    };
    if code < 0 {
        return code;
    }
    // SAFETY: the driver calls this by our table.
    let table = unsafe { table_of(context) };
    // SAFETY: written once, before the driver was started.
    let shared = Arc::clone(unsafe { &(*table.as_ptr()).shared });
    // SAFETY: just opened, and nobody else's before this returns.
    let Transport { fd, recv_fd: receive_fd, .. } = unsafe { *transport };
    // SAFETY: Aeron's own function has refused null, and read it.
    let parameters = unsafe { *parameters };
    // SAFETY: socket addresses of the driver's, or null.
    let wanted = unsafe { ipv4(bind_address) };
    // SAFETY: as above.
    let connected = unsafe { ipv4(connect_address) };
    // SAFETY: as above.
    let interface = unsafe { ipv4(multicast_interface) };
    let bound = match wanted {
        Some(group) if group.ip().is_multicast() => Some(group),
        Some(_) => local(receive_fd),
        None => None,
    };
    let none = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let asked = Asked {
        side: side_of(affinity),
        is_ipv4: bound.is_some(),
        bound: bound.unwrap_or(none),
        source: local(fd).unwrap_or(none),
        connected,
        multicast_interface: interface.map_or(Ipv4Addr::UNSPECIFIED, |address| *address.ip()),
        multicast_ttl: parameters.ttl,
        tos: u8::try_from(parameters.socket_tos).unwrap_or(0),
        wants_stamps: parameters.is_media_timestamping,
    };
    // SAFETY: open until `close`, by which the flag is gone.
    let socket = unsafe { BorrowedFd::borrow_raw(receive_fd) };
    let endpoint = Endpoint::new(shared, asked, socket);
    let bound = Box::into_raw(Box::new(Bound { endpoint, table }));
    // SAFETY: nobody else's before this returns.
    unsafe { (*transport).bindings_clientd = bound.cast() };
    code
}

unsafe extern "C" fn close(transport: *mut Transport) -> c_int {
    // SAFETY: the driver's; it is not polled any more.
    let bound =
        unsafe { std::mem::replace(&mut (*transport).bindings_clientd, std::ptr::null_mut()) };
    if !bound.is_null() {
        // SAFETY: made from a box in `init`, and taken out of the transport just now.
        drop(unsafe { Box::from_raw(bound.cast::<Bound>()) });
    }
    // SAFETY: the driver's argument, handed on.
    unsafe { aeron::aeron_udp_channel_transport_close(transport) }
}

unsafe extern "C" fn poller_init(
    poller: *mut Poller,
    context: *mut Context,
    affinity: Affinity,
) -> c_int {
    // SAFETY: the driver's arguments, handed on.
    let code = unsafe { aeron::aeron_udp_transport_poller_init(poller, context, affinity) };
    if code < 0 {
        return code;
    }
    // SAFETY: the driver calls this by our table.
    let table = unsafe { table_of(context) };
    // SAFETY: as above; each half begins once, before its thread does.
    let half = unsafe { half_of(table, side_of(affinity)) };
    // SAFETY: as above.
    unsafe { (*half).poller = poller };
    // SAFETY: as above.
    let kernel = unsafe { &raw mut (*half).kernel };
    // SAFETY: a poller of ours, as the driver's own.
    let code = unsafe { aeron::aeron_udp_transport_poller_init(kernel, context, affinity) };
    if code < 0 {
        // SAFETY: as above.
        unsafe { (*half).poller = std::ptr::null_mut() };
    }
    code
}

unsafe extern "C" fn poller_close(poller: *mut Poller) -> c_int {
    // SAFETY: the driver's argument, handed on. Pollers of ours are closed with their half.
    unsafe { aeron::aeron_udp_transport_poller_close(poller) }
}

impl Drop for Half {
    fn drop(&mut self) {
        if !self.poller.is_null() {
            // SAFETY: begun in `poller_init`, and the driver that polled it has ended.
            unsafe { aeron::aeron_udp_transport_poller_close(&mut self.kernel) };
        }
    }
}

unsafe extern "C" fn poller_add(poller: *mut Poller, transport: *mut Transport) -> c_int {
    // SAFETY: the driver's arguments, handed on: it looks at the poller's list for addresses to resolve anew.
    let code = unsafe { aeron::aeron_udp_transport_poller_add(poller, transport) };
    if code < 0 {
        return code;
    }
    // SAFETY: the driver's transport, now this half's.
    let Some(bound) = (unsafe { bound_of(transport) }) else { return code };
    // SAFETY: this half's thread.
    let half = unsafe { half_of(bound.table, bound.endpoint.asked.side) };
    if bound.endpoint.is_bypassing() {
        // SAFETY: this half's thread, and nothing else of it is borrowed.
        let endpoints = unsafe { &mut (*half).endpoints };
        let free = endpoints.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            endpoints.push(None);
            endpoints.len() - 1
        });
        if bound.endpoint.join(u32::try_from(place).unwrap_or(u32::MAX)) {
            endpoints[place] = NonNull::new(transport);
            return code;
        }
    }
    // SAFETY: this half's thread.
    let kernel = unsafe { &raw mut (*half).kernel };
    // SAFETY: a poller of ours; the transport is polled in it from now on.
    unsafe { aeron::aeron_udp_transport_poller_add(kernel, transport) }
}

unsafe extern "C" fn poller_remove(poller: *mut Poller, transport: *mut Transport) -> c_int {
    // SAFETY: the driver's transport, this half's.
    if let Some(bound) = unsafe { bound_of(transport) } {
        // SAFETY: this half's thread.
        let half = unsafe { half_of(bound.table, bound.endpoint.asked.side) };
        match bound.endpoint.leave() {
            Some(place) => {
                // SAFETY: this half's thread, and nothing else of it is borrowed.
                let endpoints = unsafe { &mut (*half).endpoints };
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                if let Some(endpoint) = endpoints.get_mut(place) {
                    *endpoint = None;
                }
            }
            None => {
                // SAFETY: this half's thread.
                let kernel = unsafe { &raw mut (*half).kernel };
                // SAFETY: a poller of ours, which may have it.
                unsafe { aeron::aeron_udp_transport_poller_remove(kernel, transport) };
            }
        }
    }
    // SAFETY: the driver's arguments, handed on.
    unsafe { aeron::aeron_udp_transport_poller_remove(poller, transport) }
}

/// What the driver hands to a poll, to be handed on.
#[derive(Clone, Copy)]
struct Handling {
    messages: *mut aeron::mmsghdr,
    count: usize,
    bytes: *mut i64,
    on_received: OnReceived,
    client: *mut c_void,
}

unsafe extern "C" fn poller_poll(
    poller: *mut Poller,
    messages: *mut aeron::mmsghdr,
    count: usize,
    bytes: *mut i64,
    on_received: OnReceived,
    receive: aeron::aeron_udp_channel_transport_recvmmsg_func_t,
    client: *mut c_void,
) -> c_int {
    // SAFETY: the driver's poller, this half's.
    let transports = unsafe { (*poller).transports };
    if transports.length == 0 {
        return 0;
    }
    // SAFETY: there is at least one.
    let first = unsafe { (*transports.array).transport };
    // SAFETY: this half's transport; the borrow ends with this statement's copies.
    let Some(Bound { endpoint, table }) = (unsafe { bound_of(first) }) else { return 0 };
    let (shared, side, table) = (Arc::as_ptr(&endpoint.shared), endpoint.asked.side, *table);
    // SAFETY: the table holds it for as long as there are transports.
    let shared = unsafe { &*shared };
    // SAFETY: this half's thread.
    let half = unsafe { half_of(table, side) };
    let handling = Handling { messages, count, bytes, on_received, client };
    let mut work = 0;
    for lane in &shared.lanes {
        // SAFETY: this half's thread.
        work += unsafe { poll_lane(lane, shared, side, half, handling) };
    }
    // SAFETY: as above.
    work += unsafe { poll_flagged(shared, side, half, handling) };
    // SAFETY: as above.
    let kernel = unsafe { &raw mut (*half).kernel };
    // SAFETY: as above.
    if unsafe { (*kernel).transports.length } > 0 {
        // SAFETY: a poller of ours with the driver's transports, polled as the driver would.
        work += unsafe {
            aeron::aeron_udp_transport_poller_poll(
                kernel,
                messages,
                count,
                bytes,
                on_received,
                receive,
                client,
            )
        };
    }
    work
}

/// Handles what came by one lane.
///
/// # Safety
/// `half` is that of the calling thread.
#[inline]
unsafe fn poll_lane(
    lane: &Lane,
    shared: &Shared,
    side: Side,
    half: *mut Half,
    handling: Handling,
) -> c_int {
    let counts = &shared.counts[side.index()];
    // What is called below may come back here for other reasons, so nothing of the half stays borrowed.
    // SAFETY: by this function's contract.
    let mut batch = unsafe { std::mem::take(&mut (*half).batch) };
    lane.collect(side, &mut batch, counts);
    let mut work = 0;
    for parcel in &batch {
        let mut sharers = [None; SHARERS_MAX];
        for (transport, id) in sharers.iter_mut().zip(parcel.endpoints()) {
            let place = usize::try_from(*id).unwrap_or(usize::MAX);
            // SAFETY: by this function's contract.
            let endpoints = unsafe { &(*half).endpoints };
            *transport = endpoints.get(place).copied().flatten();
        }
        for transport in sharers.into_iter().flatten() {
            // SAFETY: a transport that is polled, and a frame that is ours until it is given back.
            let is_taken = unsafe { deliver(transport.as_ptr(), parcel, handling) };
            counts.add(Count::Refused, u64::from(!is_taken));
            work += c_int::from(is_taken);
        }
    }
    if !batch.is_empty() {
        lane.give_back(&mut batch);
    }
    // SAFETY: by this function's contract.
    unsafe { (*half).batch = batch };
    work
}

/// Hands a datagram to the driver. `false`: it is from somebody of whom the transport's kernel socket would take nothing either.
///
/// # Safety
/// `transport` is one of the calling half's, and `handling` what the driver gave to its poll.
#[inline]
unsafe fn deliver(transport: *mut Transport, parcel: &Parcel, handling: Handling) -> bool {
    let Some(on_received) = handling.on_received else { return false };
    // SAFETY: by this function's contract.
    let Transport { fd, recv_fd, connected_address, .. } = unsafe { *transport };
    if fd == recv_fd && !connected_address.is_null() {
        // Its kernel socket is connected.
        // SAFETY: a socket address of the driver's, for as long as the transport.
        let peer = unsafe { ipv4(connected_address) };
        if peer.is_some_and(|peer| peer != parcel.source) {
            return false;
        }
    }
    let mut address = Address::default();
    let from = libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET).unwrap_or(0),
        sin_port: parcel.source.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*parcel.source.ip()).to_be() },
        sin_zero: [0; 8],
    };
    let room: *mut libc::sockaddr_in = (&raw mut address).cast();
    // SAFETY: the storage is made to hold any socket address, and aligned for it.
    unsafe { room.write(from) };
    // SAFETY: by this function's contract.
    let Transport { data_paths, dispatch_clientd, destination_clientd, .. } = unsafe { *transport };
    // SAFETY: the driver's function with what it asks for: a datagram it may read and write until it returns, and its
    // sender's address. There is no stamp: transports that ask for one are polled elsewhere.
    unsafe {
        on_received(
            data_paths,
            transport,
            handling.client,
            dispatch_clientd,
            destination_clientd,
            parcel.payload.start(),
            parcel.payload.len(),
            &raw mut address,
            std::ptr::null_mut(),
        );
    }
    // SAFETY: the driver's own count, its poll's.
    unsafe { *handling.bytes += i64::try_from(parcel.payload.len()).unwrap_or(0) };
    true
}

/// Reads the kernel's sockets of transports that are bypassed, where the kernel has something for them.
///
/// # Safety
/// `half` is that of the calling thread.
#[inline]
unsafe fn poll_flagged(shared: &Shared, side: Side, half: *mut Half, handling: Handling) -> c_int {
    let mut work = 0;
    let mut place = 0;
    loop {
        // The list may change while datagrams are handled, so it is not borrowed meanwhile.
        // SAFETY: by this function's contract.
        let endpoints = unsafe { &(*half).endpoints };
        let Some(transport) = endpoints.get(place).copied() else { break };
        place += 1;
        let Some(transport) = transport else { continue };
        // SAFETY: one of this half's transports.
        let bound = unsafe { bound_of(transport.as_ptr()) };
        let is_ready = bound.and_then(|bound| bound.endpoint.ready_flag());
        let Some(flag) = is_ready else { continue };
        for _ in 0..KERNEL_READS_MAX {
            // SAFETY: as the driver's own poller does.
            let read = unsafe {
                aeron::aeron_udp_channel_transport_recvmmsg(
                    transport.as_ptr(),
                    handling.messages,
                    handling.count,
                    handling.bytes,
                    handling.on_received,
                    handling.client,
                )
            };
            if read <= 0 {
                // Nothing more, or a fault, which the socket's next event tells again.
                flag.rearm();
                break;
            }
            shared.counts[side.index()].add(Count::KernelReceived, 1);
            work += read;
        }
    }
    work
}

unsafe extern "C" fn send(
    data_paths: *mut aeron::aeron_udp_channel_data_paths_t,
    transport: *mut Transport,
    address: *mut Address,
    parts: *mut aeron::iovec,
    count: usize,
    bytes_sent: *mut i64,
) -> c_int {
    // SAFETY: one of the calling half's transports.
    let bound = unsafe { bound_of(transport) };
    if let Some(Bound { endpoint, .. }) = bound
        && endpoint.is_bypassing()
    {
        // SAFETY: the driver's arguments.
        let connected = unsafe { (*transport).connected_address };
        let to = if connected.is_null() { address } else { connected };
        // SAFETY: a socket address, or null.
        let to = unsafe { ipv4(to) };
        // SAFETY: so many parts, as the driver says, whose bytes it keeps until this returns.
        let parts = unsafe { std::slice::from_raw_parts(parts, count) };
        let payloads = parts.iter().map(|part| {
            let start = part.iov_base.cast::<u8>().cast_const();
            // SAFETY: as above; no part of the driver's is null.
            unsafe { std::slice::from_raw_parts(start, part.iov_len) }
        });
        if let Some(sent) = to.and_then(|to| endpoint.send(to, payloads)) {
            // SAFETY: the driver's own count.
            unsafe { *bytes_sent += i64::try_from(sent.bytes).unwrap_or(0) };
            return c_int::try_from(sent.datagrams).unwrap_or(c_int::MAX);
        }
    }
    // SAFETY: the driver's arguments, handed on.
    unsafe {
        aeron::aeron_udp_channel_transport_send(
            data_paths, transport, address, parts, count, bytes_sent,
        )
    }
}
