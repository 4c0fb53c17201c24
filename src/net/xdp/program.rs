//! The program that decides in the interface's receive path what goes to our ring and what to the kernel, as instructions
//! assembled at run time: no compiler, no object file. Pure; [`crate::net::xdp::bpf`] loads it.
//!
//! A frame goes to the ring of the queue it came in on if it is Ethernet with IPv4 without options, whole (no fragment), UDP,
//! and its destination address and port are subscribed to. Everything else, and what comes in on a queue without a
//! ring, passes to the kernel. So ARP, IGMP, TCP and everybody else's traffic are as they were.

use std::net::{Ipv4Addr, SocketAddrV4};

/// An instruction (`struct bpf_insn`, include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u8,
    /// Destination register in the low half, source in the high.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// What the program says of a frame (`enum xdp_action`).
pub const XDP_PASS: u32 = 2;
/// As [`XDP_PASS`]: it goes to a ring.
pub const XDP_REDIRECT: u32 = 4;

/// Bytes the program puts before each frame where it stamps them.
pub(super) const STAMP_BYTES: usize = 16;
/// Their second word: the first is nanoseconds of the kernel's monotonic clock.
pub(super) const STAMP_MONOTONIC: u64 = 0x706F_7374_0000_0001;
/// As [`STAMP_MONOTONIC`]: of the network interface's clock.
pub(super) const STAMP_NIC: u64 = 0x706F_7374_0000_0002;

/// Who stamps frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamping {
    Nobody,
    /// The program itself, `bpf_ktime_get_ns`.
    Program,
    /// The interface, and the program what that does not: the number of the kernel function
    /// `bpf_xdp_metadata_rx_timestamp` in the kernel's type information (Documentation/networking/xdp-rx-metadata.rst).
    Interface(i32),
}

/// The key of a subscription: destination address and port as they lie in a packet, and the queue, in eight bytes. What comes in on
/// another queue is not subscribed to there, and passes.
pub(super) fn flow_key(to: SocketAddrV4, queue: u32) -> u64 {
    let address = u64::from(u32::from_ne_bytes(Ipv4Addr::octets(to.ip())));
    let port = u64::from(u16::from_ne_bytes(to.port().to_be_bytes()));
    address | (port << 32) | (u64::from(queue) << 48)
}

/// A place in the program that is jumped to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Pass,
    Redirect,
    OwnStamp,
    Stamped,
}

/// A register: r0 is what a call gives, r1 to r5 are its arguments, r6 to r9 outlive it, r10 is the stack.
type Register = u8;
const STACK: Register = 10;

/// Helper functions' numbers (`enum bpf_func_id`).
const MAP_LOOKUP: i32 = 1;
const KTIME_GET_NS: i32 = 5;
const REDIRECT_MAP: i32 = 51;
const ADJUST_META: i32 = 54;

#[derive(Default)]
struct Assembler {
    instructions: Vec<Instruction>,
    jumps: Vec<(usize, Label)>,
    labels: Vec<(Label, usize)>,
}

impl Assembler {
    fn add(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        let registers = to | (from << 4);
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }

    fn copy(&mut self, to: Register, from: Register) {
        self.add(0xBF, to, from, 0, 0);
    }

    fn set(&mut self, to: Register, value: i32) {
        self.add(0xB7, to, 0, 0, value);
    }

    /// Eight bytes, in two instructions.
    fn set_wide(&mut self, to: Register, source: u8, low: u32, high: u32) {
        self.add(0x18, to, source, 0, low.cast_signed());
        self.add(0, 0, 0, 0, high.cast_signed());
    }

    fn add_to(&mut self, to: Register, value: i32) {
        self.add(0x07, to, 0, 0, value);
    }

    fn and(&mut self, to: Register, value: i32) {
        self.add(0x57, to, 0, 0, value);
    }

    fn or(&mut self, to: Register, from: Register) {
        self.add(0x4F, to, from, 0, 0);
    }

    fn shift_left(&mut self, to: Register, bits: i32) {
        self.add(0x67, to, 0, 0, bits);
    }

    fn load_1(&mut self, to: Register, from: Register, offset: i16) {
        self.add(0x71, to, from, offset, 0);
    }

    fn load_2(&mut self, to: Register, from: Register, offset: i16) {
        self.add(0x69, to, from, offset, 0);
    }

    fn load_4(&mut self, to: Register, from: Register, offset: i16) {
        self.add(0x61, to, from, offset, 0);
    }

    fn load_8(&mut self, to: Register, from: Register, offset: i16) {
        self.add(0x79, to, from, offset, 0);
    }

    fn store_8(&mut self, to: Register, offset: i16, from: Register) {
        self.add(0x7B, to, from, offset, 0);
    }

    fn store_8_value(&mut self, to: Register, offset: i16, value: i32) {
        self.add(0x7A, to, 0, offset, value);
    }

    fn call(&mut self, helper: i32) {
        self.add(0x85, 0, 0, 0, helper);
    }

    /// A function of the kernel, by its number in the kernel's type information.
    fn call_kernel(&mut self, number: i32) {
        self.add(0x85, 0, 2, 0, number);
    }

    fn map(&mut self, to: Register, descriptor: i32) {
        self.set_wide(to, 1, descriptor.cast_unsigned(), 0);
    }

    fn exit(&mut self) {
        self.add(0x95, 0, 0, 0, 0);
    }

    fn jump(&mut self, to: Label) {
        self.jump_if(0x05, 0, 0, 0, to);
    }

    fn jump_if(&mut self, code: u8, a: Register, b: Register, value: i32, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.add(code, a, b, 0, value);
    }

    fn jump_if_greater(&mut self, a: Register, b: Register, to: Label) {
        self.jump_if(0x2D, a, b, 0, to);
    }

    fn jump_if_not(&mut self, a: Register, value: i32, to: Label) {
        self.jump_if(0x55, a, 0, value, to);
    }

    fn jump_if_equal(&mut self, a: Register, value: i32, to: Label) {
        self.jump_if(0x15, a, 0, value, to);
    }

    fn label(&mut self, label: Label) {
        self.labels.push((label, self.instructions.len()));
    }

    /// The instructions, with every jump told how far it goes.
    ///
    /// # Panics
    /// If a label is jumped to that is nowhere, or too far away: the program below is at fault.
    fn finish(mut self) -> Vec<Instruction> {
        for (from, label) in self.jumps {
            let found = self.labels.iter().find(|(name, _)| *name == label);
            let (_, to) = found.expect("every label that is jumped to is somewhere");
            // A jump counts from the instruction behind it.
            let distance = to.checked_sub(from + 1).and_then(|far| i16::try_from(far).ok());
            self.instructions[from].offset = distance.expect("jumps go forward, and not far");
        }
        self.instructions
    }
}

/// Value of a 16-bit field as the program loads it, from its value in network order.
fn as_loaded(value: u16) -> i32 {
    i32::from(u16::from_ne_bytes(value.to_be_bytes()))
}

/// The program over two maps, given by their descriptors: subscriptions by [`flow_key`], and rings by queue.
pub(super) fn filter(flows: i32, rings: i32, stamping: Stamping) -> Vec<Instruction> {
    let mut a = Assembler::default();
    a.copy(6, 1); // struct xdp_md
    a.load_4(2, 1, 0); // data
    a.load_4(3, 1, 4); // data_end
    a.copy(4, 2);
    a.add_to(4, 14 + 20 + 8); // Ethernet, IPv4 and UDP headers
    a.jump_if_greater(4, 3, Label::Pass);
    a.load_2(5, 2, 12);
    a.jump_if_not(5, as_loaded(0x0800), Label::Pass); // IPv4
    a.load_1(5, 2, 14);
    a.jump_if_not(5, 0x45, Label::Pass); // of 20 bytes
    a.load_1(5, 2, 23);
    a.jump_if_not(5, 17, Label::Pass); // UDP
    a.load_2(5, 2, 20);
    a.and(5, as_loaded(0x3FFF)); // "more fragments", and where this one belongs
    a.jump_if_not(5, 0, Label::Pass);
    a.load_4(5, 2, 30); // destination address
    a.load_2(0, 2, 36); // destination port
    a.shift_left(0, 32);
    a.or(5, 0);
    a.load_4(0, 6, 16); // rx_queue_index
    a.shift_left(0, 48);
    a.or(5, 0);
    a.store_8(STACK, -8, 5);
    a.copy(2, STACK);
    a.add_to(2, -8);
    a.map(1, flows);
    a.call(MAP_LOOKUP);
    a.jump_if_equal(0, 0, Label::Pass);
    stamp(&mut a, stamping);
    a.label(Label::Redirect);
    a.load_4(2, 6, 16); // rx_queue_index
    a.map(1, rings);
    a.set(3, XDP_PASS.cast_signed()); // what becomes of it where the queue has no ring
    a.call(REDIRECT_MAP);
    a.exit();
    a.label(Label::Pass);
    a.set(0, XDP_PASS.cast_signed());
    a.exit();
    a.finish()
}

/// Puts the time of receipt before the frame. A driver without room for it gets the frame on its way without one.
fn stamp(a: &mut Assembler, stamping: Stamping) {
    let words = |kind: u64| {
        let [low, high] = [kind & 0xFFFF_FFFF, kind >> 32];
        [low, high].map(|word| u32::try_from(word).unwrap_or(0))
    };
    if stamping == Stamping::Nobody {
        return;
    }
    if let Stamping::Interface(function) = stamping {
        let [low, high] = words(STAMP_NIC);
        a.set_wide(8, 0, low, high);
        a.store_8_value(STACK, -16, 0);
        a.copy(1, 6);
        a.copy(2, STACK);
        a.add_to(2, -16);
        a.call_kernel(function);
        a.jump_if_not(0, 0, Label::OwnStamp);
        a.load_8(7, STACK, -16);
        a.jump_if_equal(7, 0, Label::OwnStamp); // some drivers say "yes, 0"
        a.jump(Label::Stamped);
        a.label(Label::OwnStamp);
    }
    let [low, high] = words(STAMP_MONOTONIC);
    a.set_wide(8, 0, low, high);
    a.call(KTIME_GET_NS);
    a.copy(7, 0);
    a.label(Label::Stamped);
    let bytes = i32::try_from(STAMP_BYTES).unwrap_or(0);
    a.copy(1, 6);
    a.set(2, -bytes);
    a.call(ADJUST_META);
    a.jump_if_not(0, 0, Label::Redirect);
    a.load_4(2, 6, 8); // data_meta
    a.load_4(3, 6, 0); // data
    a.copy(4, 2);
    a.add_to(4, bytes);
    a.jump_if_greater(4, 3, Label::Redirect);
    a.store_8(2, 0, 7);
    a.store_8(2, 8, 8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_key_is_what_the_program_reads_from_a_packet() {
        let to = SocketAddrV4::new(Ipv4Addr::new(239, 1, 2, 3), 0x1234);
        let address = u64::from(u32::from_ne_bytes([239, 1, 2, 3]));
        let port = u64::from(u16::from_ne_bytes([0x12, 0x34]));
        assert_eq!(flow_key(to, 0), address | (port << 32));
        assert_eq!(flow_key(to, 255), address | (port << 32) | (255 << 48));
    }

    #[test]
    fn every_jump_lands_on_an_instruction_that_begins_one() {
        for stamping in [Stamping::Nobody, Stamping::Program, Stamping::Interface(7)] {
            let program = filter(3, 4, stamping);
            for (at, instruction) in program.iter().enumerate() {
                let jumps = instruction.code & 7 == 5 && !matches!(instruction.code, 0x85 | 0x95);
                if jumps {
                    let to = at + 1 + usize::try_from(instruction.offset).expect("forward");
                    // The second half of a wide load has code 0.
                    assert!(program.get(to).is_some_and(|target| target.code != 0), "{at} to {to}");
                }
            }
            assert_eq!(program.last().map(|last| last.code), Some(0x95), "ends in exit");
        }
    }

    #[test]
    #[should_panic = "every label"]
    fn a_label_that_is_nowhere_is_a_fault_of_ours() {
        let mut assembler = Assembler::default();
        assembler.jump(Label::Pass);
        let _ = assembler.finish();
    }
}
