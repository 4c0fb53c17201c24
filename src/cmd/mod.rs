//! The commands of the `postern` binary.

use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;
use crate::{host, topology};

pub mod book;
pub mod check;
pub mod ctl;
pub mod demo;
pub mod generate;
pub mod hist;
pub mod journal;
pub mod output;
pub mod replay;
pub mod run;
pub mod whole_file;

/// Tells something that is no result: to standard error, so that it never mixes with one.
pub(crate) fn complain(text: &str) {
    use std::io::Write;
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a result to standard output.
pub(crate) fn answer(text: &str) -> ExitCode {
    use std::io::Write;
    match output::heard(writeln!(std::io::stdout(), "{}", text.trim_end())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => mute(&error),
    }
}

/// Tells that a result could not be printed.
fn mute(error: &std::io::Error) -> ExitCode {
    complain(&format!("standard output: {error}"));
    ExitCode::FAILURE
}

/// The configuration at `path`, or the default one.
fn configured(path: Option<&Path>) -> Result<Config, String> {
    path.map_or_else(|| Ok(Config::default()), |path| Config::load(path).map_err(|e| e.to_string()))
}

/// `postern check`.
pub fn check_configured(args: &check::CheckArgs) -> ExitCode {
    let config = match configured(args.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(run::EXIT_CONFIG);
        }
    };
    let wants = topology::wants(&config);
    // Asked first: a name that is mistyped is told before anything else.
    let of_interfaces = match check::interfaces(&args.interface, &wants) {
        Ok(findings) => findings,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(check::EXIT_NO_INTERFACE);
        }
    };
    let mut findings = host::check(Path::new("/"), &wants);
    findings.extend(check::queues(&config));
    findings.extend(of_interfaces);
    match check::report(&findings, args.output, &mut std::io::stdout().lock()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => mute(&error),
    }
}

/// `postern journal`.
pub fn read_journal(args: &journal::Args) -> ExitCode {
    let limits = |path: &Path| configured(Some(path)).map(|config| topology::limits(&config));
    match journal::run(args, &mut std::io::stdout().lock(), limits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(journal::JournalCommandError::Output(error)) => match output::heard(Err(error)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => mute(&error),
        },
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
