//! The one list of entries through which compiled code calls the run-time system.
//!
//! `orcac` reads it for signatures, the run-time system for its table of stubs. An entry whose name has a dot is a function of a
//! standard module that is implemented by the run-time system (`Math.sin`): its arguments follow the C
//! interface of ORCA.md section 12, after the control block.
//!
//! `site` arguments are indices into [`crate::descriptor::Program::sites`]: where to report a trap.

/// How an entry is called and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Runs on the worker's stack and returns, or raises a trap.
    Leaf,
    /// Hands a request to the worker's loop; the process continues later. Never called from an operation.
    Waiting,
    /// Hands a request to the worker's loop and never returns. (`Trap` may be called from operations.)
    Final,
    /// The poll: like `Waiting`, but with `CallConv::PreserveAll`.
    Poll,
}

/// The machine type of an argument or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    Pointer,
}

/// What an entry does that matters when an operation can reach it (DESIGN.md 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that a replica could tell.
    Pure,
    /// Writes output.
    Output,
    /// Reads input, files, the environment or a clock, or suspends.
    World,
}

/// Everything about one entry.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Its name in text forms; `Module.function` for library functions.
    pub name: &'static str,
    pub class: Class,
    pub effect: Effect,
    /// Arguments after the control block.
    pub parameters: &'static [Word],
    pub result: Option<Word>,
}

macro_rules! result {
    () => {
        None
    };
    ($word:ident) => {
        Some(Word::$word)
    };
}

macro_rules! entries {
    ($($(#[$doc:meta])* $class:ident $effect:ident $id:ident $name:literal ($($word:ident),*) $(-> $result:ident)?;)*) => {
        /// An entry: also its index in the control block's table.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Entry { $($(#[$doc])* $id,)* }

        /// Every entry, in the order of the table.
        pub const ENTRIES: &[Entry] = &[$(Entry::$id),*];

        const SIGNATURES: &[Signature] = &[$(Signature {
            name: $name,
            class: Class::$class,
            effect: Effect::$effect,
            parameters: &[$(Word::$word),*],
            result: result!($($result)?),
        }),*];

        /// Hands the whole list, as `(Id class (words) result)` rows, to a macro of the caller's.
        #[macro_export]
        macro_rules! with_entries {
            ($then:path) => { $then! { $(($id $class ($($word),*) $($result)?))* } };
        }
    };
}

entries! {
    /// Lets the worker apply deliveries and run other processes.
    Poll Pure Poll "poll" ();
    /// The process is done.
    Final Pure Exit "exit" ();
    /// `(code, site)`: a run-time error.
    Final Pure Trap "trap" (I32, I32);
    /// `(cell, operation index, arguments, site)`: INVOKE on an object that may be shared; returns when the operation is done.
    Waiting Pure Invoke "invoke" (Pointer, I32, Pointer, I32);
    /// `(type, destination, source, site)`: assignment of a value with objects among its components, some perhaps shared.
    Waiting Pure AssignShared "assign_shared" (Pointer, Pointer, Pointer, I32);
    /// `(process index, arguments, cpu or -1 for here, site)`.
    Waiting Pure Fork "fork" (I32, Pointer, I32, I32);
    /// `(type, destination, site)`: Read of one variable.
    Waiting World Read "read" (Pointer, Pointer, I32);
    /// `(cell, replicate, cpu, site)`: Strategy; ignored until placement exists.
    Waiting Pure Strategy "strategy" (Pointer, I32, I32, I32);

    /// `(type, destination, source, site)`: the destination, a live value, becomes a deep copy; overlap is safe.
    Leaf Pure ValueCopy "value_copy" (Pointer, Pointer, Pointer, I32);
    /// `(type, destination, source)`: the destination's parts are freed, the source's bytes move there, the source becomes zero.
    Leaf Pure ValueMove "value_move" (Pointer, Pointer, Pointer);
    /// `(type, value)`: frees all parts on the heap; the bytes become zero. Drops objects.
    Leaf Pure ValueFree "value_free" (Pointer, Pointer);
    /// `(type, a, b)`: 1 if equal by the rules of the language, else 0.
    Leaf Pure ValueEqual "value_equal" (Pointer, Pointer, Pointer) -> I32;
    /// `(type, destination, bounds, site)`: frees the destination's parts and makes an array of zero elements; `bounds` points to
    /// one (lower, upper) pair of 64-bit integers a dimension.
    Leaf Pure ArrayNew "array_new" (Pointer, Pointer, Pointer, I32);
    /// `(destination, bytes, count, site)`: the destination, a live string, becomes these bytes with bounds 1..count.
    Leaf Pure StringNew "string_new" (Pointer, Pointer, I64, I32);
    /// `(type, site)`: a new unshared object of this type (one of kind `Object`), state all zero; compiled code initialises it.
    Leaf Pure ObjectNew "object_new" (Pointer, I32) -> Pointer;
    /// `(bytes, site)`: a zeroed block, 16-aligned.
    Leaf Pure BlockNew "block_new" (I64, I32) -> Pointer;
    /// `(block, bytes)`.
    Leaf Pure BlockFree "block_free" (Pointer, I64);

    /// `(type, set, element, site)`; the type is the set's or bag's.
    Leaf Pure SetInsert "set_insert" (Pointer, Pointer, Pointer, I32);
    /// `(type, set, element)`.
    Leaf Pure SetDelete "set_delete" (Pointer, Pointer, Pointer);
    /// `(type, set, element)`: 1 if it is in, else 0.
    Leaf Pure SetContains "set_contains" (Pointer, Pointer, Pointer) -> I32;
    /// `(type, set, destination, site)`: FROM: removes the oldest element into the destination, a live value.
    Leaf Pure SetFrom "set_from" (Pointer, Pointer, Pointer, I32);
    /// `(type, set)`: number of elements.
    Leaf Pure SetSize "set_size" (Pointer, Pointer) -> I32;
    /// `(type, set, i)`: address of the i-th oldest element, i from 0; valid until the set changes.
    Leaf Pure SetElement "set_element" (Pointer, Pointer, I32) -> Pointer;
    /// `(type, destination, right, site)`: destination := destination + right.
    Leaf Pure SetUnion "set_union" (Pointer, Pointer, Pointer, I32);
    /// As SetUnion: difference.
    Leaf Pure SetDifference "set_difference" (Pointer, Pointer, Pointer, I32);
    /// As SetUnion: intersection.
    Leaf Pure SetIntersection "set_intersection" (Pointer, Pointer, Pointer, I32);
    /// As SetUnion: symmetric difference.
    Leaf Pure SetSymmetric "set_symmetric" (Pointer, Pointer, Pointer, I32);

    /// `(type, graph, destination, site)`: ADDNODE; node fields are zero, the name goes to the destination.
    Leaf Pure GraphAdd "graph_add" (Pointer, Pointer, Pointer, I32);
    /// `(type, graph, name, site)`; the name as its 8 bytes.
    Leaf Pure GraphDelete "graph_delete" (Pointer, Pointer, I64, I32);
    /// `(type, graph, name, site)`: address of the node record; valid until the graph changes.
    Leaf Pure GraphNode "graph_node" (Pointer, Pointer, I64, I32) -> Pointer;

    /// Appends to the text that `write_end` finishes.
    Leaf Output WriteInteger "write_integer" (I64);
    Leaf Output WriteReal "write_real" (F64);
    Leaf Output WriteChar "write_char" (I8);
    /// `(string)`.
    Leaf Output WriteString "write_string" (Pointer);
    /// `(1 for a newline)`: the text so far goes out in one piece.
    Leaf Output WriteEnd "write_end" (I32);

    Leaf World ArgsArgc "args.Argc" () -> I32;
    Leaf World ArgsArgv "args.Argv" (I32, Pointer);
    Leaf World ArgsGetenv "args.Getenv" (Pointer, Pointer);

    Leaf Pure ConversionsStringToReal "conversions.StringToReal" (Pointer, Pointer) -> F64;
    Leaf Pure ConversionsStringToInt "conversions.StringToInt" (Pointer, Pointer) -> I64;
    Leaf Pure ConversionsRealToString "conversions.RealToString" (F64, I32, Pointer);
    Leaf Pure ConversionsIntToString "conversions.IntToString" (I64, Pointer);

    Leaf Output FinishFinish "Finish.Finish" ();

    Leaf World TimeGetTime "Time.GetTime" () -> I32;
    Leaf World TimeSysMilli "Time.SysMilli" () -> I32;
    Leaf World TimeSysMicro "Time.SysMicro" () -> F64;
    Waiting World TimeSleep "Time.Sleep" (I32, I32);
    Leaf World TimePrintTime "Time.PrintTime" (Pointer, I32);
    Leaf Output TimePrintCompilationInfo "Time.PrintCompilationInfo" ();

    Leaf Output InOutWriteChar "InOut.WriteChar" (I8);
    Leaf Output InOutWriteInt "InOut.WriteInt" (I32);
    Leaf Output InOutWriteLongInt "InOut.WriteLongInt" (I64);
    Leaf Output InOutWriteShortInt "InOut.WriteShortInt" (I32);
    Leaf Output InOutWriteReal "InOut.WriteReal" (F64);
    Leaf Output InOutWriteLongReal "InOut.WriteLongReal" (F64);
    Leaf Output InOutWriteString "InOut.WriteString" (Pointer);
    Leaf Output InOutWriteLn "InOut.WriteLn" ();
    Waiting World InOutReadChar "InOut.ReadChar" (Pointer);
    Waiting World InOutReadInt "InOut.ReadInt" (Pointer);
    Waiting World InOutReadLongInt "InOut.ReadLongInt" (Pointer);
    Waiting World InOutReadShortInt "InOut.ReadShortInt" (Pointer);
    Waiting World InOutReadReal "InOut.ReadReal" (Pointer);
    Waiting World InOutReadLongReal "InOut.ReadLongReal" (Pointer);
    Waiting World InOutReadShortReal "InOut.ReadShortReal" (Pointer);
    Waiting World InOutReadString "InOut.ReadString" (Pointer);
    Waiting World InOutAhead "InOut.Ahead" () -> I8;
    Waiting World InOutEof "InOut.Eof" () -> I8;
    Waiting World InOutEoln "InOut.Eoln" () -> I8;
    Waiting World InOutOpenInputFile "InOut.OpenInputFile" (Pointer) -> I8;
    Waiting World InOutOpenOutputFile "InOut.OpenOutputFile" (Pointer) -> I8;
    Waiting World InOutAppendOutputFile "InOut.AppendOutputFile" (Pointer) -> I8;
    Waiting World InOutCloseInput "InOut.CloseInput" ();
    Waiting World InOutCloseOutput "InOut.CloseOutput" ();
    Leaf Output InOutSetBuffering "InOut.SetBuffering" (I8);
    Leaf Output InOutFlush "InOut.Flush" ();

    Leaf Pure MathSin "Math.sin" (F64) -> F64;
    Leaf Pure MathCos "Math.cos" (F64) -> F64;
    Leaf Pure MathTan "Math.tan" (F64) -> F64;
    Leaf Pure MathAsin "Math.asin" (F64) -> F64;
    Leaf Pure MathAcos "Math.acos" (F64) -> F64;
    Leaf Pure MathAtan "Math.atan" (F64) -> F64;
    Leaf Pure MathSinh "Math.sinh" (F64) -> F64;
    Leaf Pure MathCosh "Math.cosh" (F64) -> F64;
    Leaf Pure MathTanh "Math.tanh" (F64) -> F64;
    Leaf Pure MathExp "Math.exp" (F64) -> F64;
    Leaf Pure MathLog "Math.log" (F64) -> F64;
    Leaf Pure MathLog10 "Math.log10" (F64) -> F64;
    Leaf Pure MathSqrt "Math.sqrt" (F64) -> F64;
    Leaf Pure MathCeil "Math.ceil" (F64) -> F64;
    Leaf Pure MathFloor "Math.floor" (F64) -> F64;
    Leaf Pure MathFabs "Math.fabs" (F64) -> F64;
    Leaf Pure MathAtan2 "Math.atan2" (F64, F64) -> F64;
    Leaf Pure MathPow "Math.pow" (F64, F64) -> F64;
    Leaf Pure MathLdexp "Math.ldexp" (F64, I32) -> F64;
    Leaf Pure MathFrexp "Math.frexp" (F64, Pointer) -> F64;
    Leaf Pure MathModf "Math.modf" (F64, Pointer) -> F64;
    Leaf Pure MathFmod "Math.fmod" (F64, F64) -> F64;
    Leaf Pure MathLeftShift "Math.LeftShift" (I32, I32) -> I32;
    Leaf Pure MathRightShift "Math.RightShift" (I32, I32) -> I32;
    Leaf Pure MathBitwiseAnd "Math.BitwiseAnd" (I32, I32) -> I32;
    Leaf Pure MathBitwiseOr "Math.BitwiseOr" (I32, I32) -> I32;
    Leaf Pure MathBitwiseXor "Math.BitwiseXor" (I32, I32) -> I32;
    Leaf Pure MathIntToLongReal "Math.IntToLongReal" (I32) -> F64;
    Leaf Pure MathLongRealToInt "Math.LongRealToInt" (F64) -> I32;
    Leaf Pure MathLongRealMin "Math.LongRealMin" (F64, F64) -> F64;
    Leaf Pure MathLongRealMax "Math.LongRealMax" (F64, F64) -> F64;
}

/// Number of entries.
pub const ENTRY_COUNT: usize = ENTRIES.len();

impl Entry {
    /// Its index in the control block's table.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Everything about it.
    pub const fn signature(self) -> Signature {
        SIGNATURES[self as usize]
    }

    /// The entry behind function `function` of standard module `module`, if the run-time system implements it.
    pub fn of_library(module: &str, function: &str) -> Option<Entry> {
        ENTRIES.iter().copied().find(|entry| {
            entry
                .signature()
                .name
                .split_once('.')
                .is_some_and(|(m, f)| m == module && f == function)
        })
    }

    /// The entry with this name.
    pub fn of_name(name: &str) -> Option<Entry> {
        ENTRIES
            .iter()
            .copied()
            .find(|entry| entry.signature().name == name)
    }
}
