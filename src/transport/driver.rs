//! The media driver: the part of Aeron that moves bytes between processes and machines.

use std::fmt;
use std::path::{Path, PathBuf};

use rusteron_media_driver::bindings::{aeron_thread_naming_enum, aeron_threading_mode_enum};
use rusteron_media_driver::{AeronCError, AeronDriver, AeronDriverContext, AeronIdleStrategyKind};

use crate::transport::directory::{Claimed, c_path, prepare};
use crate::transport::xdp::{Bindings, XdpTransport};
use crate::transport::{AeronConfig, DriverIdle, DriverMode, TransportError};

/// Runs of an embedded driver before the first client comes, so that it has nothing left to set up.
const FIRST_RUNS: usize = 10;

/// Room for 8192 of Aeron's counters of 128 bytes, a dozen a stream; their names take four times as much. The least that
/// Aeron takes; its own default is eight times that.
const COUNTERS_BYTES: usize = 1 << 20;

/// Room for some hundred streams that lost something.
const LOSS_REPORT_BYTES: usize = 64 << 10;

/// A running media driver. Stops when dropped; clients that are left see [`crate::transport::TransportDown`].
///
/// One of [`DriverMode::Invoker`] does nothing but in [`Driver::service`]. Several drivers may run in one process, each
/// in a directory of its own.
pub struct Driver {
    inner: Option<AeronDriver>,
    // After the driver, which calls them to its end.
    _bindings: Option<Bindings>,
    // After the driver: the directory is in use until it has ended.
    _claimed: Option<Claimed>,
    mode: DriverMode,
    directory: PathBuf,
    // Kept to the thread that started it: what runs it must be one thread.
    _one_thread: std::marker::PhantomData<*const ()>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("mode", &self.mode)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// Starts the configured driver; an external one is only named, and looked for when a client is made. Takes a few
    /// milliseconds; over what a driver left that was killed less than 1.25 seconds ago, until that time is over, and up to
    /// three seconds where its process id is in use again.
    ///
    /// Environment variables of Aeron's (`AERON_…`) set what the configuration does not.
    ///
    /// # Errors
    /// A bad setting, a directory in use, too little memory, or what Aeron says.
    pub fn start(config: &AeronConfig) -> Result<Driver, TransportError> {
        Driver::start_over(config, None)
    }

    /// As [`Driver::start`], with interfaces of which the kernel is bypassed. An external driver has no use for them, and gives them
    /// up.
    ///
    /// # Errors
    /// As [`Driver::start`].
    pub fn start_over(
        config: &AeronConfig,
        interfaces: Option<XdpTransport>,
    ) -> Result<Driver, TransportError> {
        config.check()?;
        let bindings = interfaces.map(Bindings::new);
        let (inner, claimed) = match config.mode {
            DriverMode::External => (None, None),
            DriverMode::Invoker | DriverMode::Shared | DriverMode::Dedicated => {
                let claimed = prepare(config)?;
                let driver = start_embedded(config, bindings.as_ref());
                let driver = driver.map_err(|error| TransportError::Driver {
                    directory: config.directory.clone(),
                    why: aeron_text(&error),
                })?;
                (Some(driver), Some(claimed))
            }
        };
        Ok(Driver {
            inner,
            _bindings: bindings,
            _claimed: claimed,
            mode: config.mode,
            directory: config.directory.clone(),
            _one_thread: std::marker::PhantomData,
        })
    }

    /// Runs one duty cycle of an invoker driver and returns how much it did; nothing in the other modes, which have
    /// threads. About 1 µs with UDP channels (two receive calls), 0.1 µs without. Does not allocate once streams
    /// are set up.
    ///
    /// # Errors
    /// Aeron's code for a cycle that failed; what failed is in the driver's error log.
    #[inline]
    pub fn service(&mut self) -> Result<usize, i32> {
        if self.mode != DriverMode::Invoker {
            return Ok(0);
        }
        match &self.inner {
            Some(driver) => driver
                .main_do_work()
                .map(|work| usize::try_from(work).unwrap_or(0))
                .map_err(|error| error.code),
            None => Ok(0),
        }
    }

    /// Who runs it.
    pub fn mode(&self) -> DriverMode {
        self.mode
    }

    /// Where clients find it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// What Aeron says, in one line.
fn aeron_text(error: &AeronCError) -> String {
    crate::transport::error::one_line(error.get_last_err_message())
}

fn start_embedded(
    config: &AeronConfig,
    bindings: Option<&Bindings>,
) -> Result<AeronDriver, AeronCError> {
    let context = AeronDriverContext::new().map_err(AeronCError::capture_errmsg)?;
    // The text is taken while the context lives: its end may fail as well, and would put its own text over this one.
    start_in(&context, config, bindings).map_err(AeronCError::capture_errmsg)
}

fn start_in(
    context: &AeronDriverContext,
    config: &AeronConfig,
    bindings: Option<&Bindings>,
) -> Result<AeronDriver, AeronCError> {
    place_files(context, config)?;
    if let Some(bindings) = bindings {
        bindings.install(context).map_err(AeronCError::from_code)?;
    }
    set_lengths(context, config)?;
    set_times(context, config)?;
    set_threads(context, config)?;
    let driver = AeronDriver::new(context)?;
    let invoker = config.mode == DriverMode::Invoker;
    driver.start(invoker)?;
    if invoker {
        for _ in 0..FIRST_RUNS {
            driver.main_do_work()?;
        }
    }
    Ok(driver)
}

fn place_files(context: &AeronDriverContext, config: &AeronConfig) -> Result<(), AeronCError> {
    let directory = c_path(&config.directory).map_err(|_| AeronCError::from_code(-1))?;
    context.set_dir(&directory)?;
    // `prepare` has removed what a dead driver left; a live one that came since must not be robbed.
    context.set_dir_delete_on_start(false)?;
    context.set_dir_warn_if_exists(false)?;
    context.set_dir_delete_on_shutdown(config.delete_on_shutdown)?;
    context.set_term_buffer_sparse_file(config.sparse)?;
    context.set_perform_storage_checks(true)?;
    Ok(())
}

fn set_lengths(context: &AeronDriverContext, config: &AeronConfig) -> Result<(), AeronCError> {
    context.set_term_buffer_length(config.term_length_bytes)?;
    context.set_ipc_term_buffer_length(config.term_length_bytes)?;
    context.set_mtu_length(config.mtu_bytes)?;
    context.set_ipc_mtu_length(config.ipc_mtu_bytes)?;
    context.set_rcv_initial_window_length(config.receive_window_bytes)?;
    context.set_counters_buffer_length(COUNTERS_BYTES)?;
    context.set_loss_report_buffer_length(LOSS_REPORT_BYTES)?;
    if config.socket_send_bytes > 0 {
        context.set_socket_so_sndbuf(config.socket_send_bytes)?;
    }
    if config.socket_receive_bytes > 0 {
        context.set_socket_so_rcvbuf(config.socket_receive_bytes)?;
    }
    Ok(())
}

fn set_times(context: &AeronDriverContext, config: &AeronConfig) -> Result<(), AeronCError> {
    const MS: u64 = 1_000_000;
    let liveness_ns = config.client_liveness_ms * MS;
    context.set_driver_timeout_ms(config.driver_timeout_ms)?;
    context.set_timer_interval_ns(config.timer_interval_ns())?;
    context.set_client_liveness_timeout_ns(liveness_ns)?;
    context.set_image_liveness_timeout_ns(config.image_liveness_ms * MS)?;
    context.set_publication_connection_timeout_ns(config.image_liveness_ms * MS)?;
    // How long a UDP publisher that left stays for repeats. Subscribers are told of its end after that.
    context.set_publication_linger_timeout_ns((config.image_liveness_ms * MS).min(5_000 * MS))?;
    // Aeron demands that a claim of a dead client is released after the client is known to be dead.
    context.set_publication_unblock_timeout_ns((15_000 * MS).max(2 * liveness_ns))?;
    Ok(())
}

fn set_threads(context: &AeronDriverContext, config: &AeronConfig) -> Result<(), AeronCError> {
    context.set_thread_naming(aeron_thread_naming_enum::AERON_THREAD_NAMING_NEW)?;
    context.set_threading_mode(match config.mode {
        DriverMode::Invoker | DriverMode::External => {
            aeron_threading_mode_enum::AERON_THREADING_MODE_INVOKER
        }
        DriverMode::Shared => aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED,
        DriverMode::Dedicated => aeron_threading_mode_enum::AERON_THREADING_MODE_DEDICATED,
    })?;
    let idle = match config.idle {
        DriverIdle::Noop => AeronIdleStrategyKind::NoOp,
        DriverIdle::Spin => AeronIdleStrategyKind::BusySpin,
        DriverIdle::Yield => AeronIdleStrategyKind::Yielding,
        DriverIdle::Sleep => AeronIdleStrategyKind::Sleeping,
        DriverIdle::Backoff => AeronIdleStrategyKind::Backoff,
    };
    context.set_conductor_idle_strategy_kind(idle)?;
    context.set_sender_idle_strategy_kind(idle)?;
    context.set_receiver_idle_strategy_kind(idle)?;
    context.set_shared_idle_strategy_kind(idle)?;
    if config.mode == DriverMode::Invoker {
        // The thread is ours, and so is its place.
        return Ok(());
    }
    let core = |core: Option<u8>| core.map_or(-1, i32::from);
    context.set_conductor_cpu_affinity(core(config.cores.conductor))?;
    context.set_sender_cpu_affinity(core(config.cores.sender))?;
    context.set_receiver_cpu_affinity(core(config.cores.receiver))?;
    context.set_native_resource_agent_cpu_affinity(core(config.cores.native_resource))?;
    if config.cores != crate::transport::DriverCores::default() {
        // Without the first of these two, Aeron ignores the second and says nothing.
        context.apply_cgroup_cpuset_affinity()?;
        context.set_thread_affinity_on_start();
    }
    Ok(())
}
