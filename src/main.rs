//! The `postern` command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use postern::cmd;
use postern::runtime::GuardedAllocator;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

/// A kernel-bypass, ultra-low-latency gateway for electronic trading.
#[derive(Debug, Parser)]
#[command(name = "postern", version, about, arg_required_else_help = true)]
struct Postern {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(cmd::demo::DemoArgs),
    Run(cmd::run::RunArgs),
    Replay(cmd::replay::ReplayArgs),
    Generate(cmd::generate::GenerateArgs),
    Check(cmd::check::CheckArgs),
    Journal(cmd::journal::Args),
    Hist(cmd::hist::Args),
    Ctl(cmd::ctl::Args),
    Book(cmd::book::BookArgs),
}

fn main() -> ExitCode {
    match Postern::parse().command {
        Command::Demo(args) => cmd::demo::run(&args),
        Command::Run(args) => cmd::run::run(&args),
        Command::Replay(args) => cmd::replay::run(&args),
        Command::Generate(args) => cmd::generate::run(&args),
        Command::Check(args) => cmd::check_configured(&args),
        Command::Journal(args) => cmd::read_journal(&args),
        Command::Hist(args) => cmd::hist::run(&args),
        Command::Ctl(args) => cmd::ctl::run(&args),
        Command::Book(args) => cmd::book::run(&args),
    }
}
