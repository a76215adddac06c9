;; What all simulated functions run. It writes down that it begins and that it ends, as `b` and `e` among the keys of its
;; own function: the arguments, the environment, and the input, or of a plan's run the hash of its inputs, with the
;; byte 30 between them. What else it does follows from the first letters of its first argument:
;;
;; - `w` counts the spaces of its input, and `t` adds what other runs wrote: eight digits, and that hash;
;; - with `!` after that it fails, each time;
;; - anything else: its output is its input.
;;
;; It fails while its function has the key `mood`. It rests for up to 1.5 s, as what it was called with has it.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "core" "get_output_buffer_id" (func $output (result i32)))
  (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
  (import "core" "get_input_buffer_id" (func $input (result i32)))
  (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
  (import "core" "persistence_get" (func $get (param i32 i32) (result i32)))
  (import "core" "persistence_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 32)
  (data (i32.const 320) "b")
  (data (i32.const 321) "e")
  (data (i32.const 336) "mood")
  (data (i32.const 352) "input/")
  (data (i32.const 400) "0123456789abcdef")

  (global $at (mut i32) (i32.const 0))      ;; the end of what is written down, from 4096 on
  (global $hash (mut i64) (i64.const 0xcbf29ce484222325))
  (global $count (mut i32) (i32.const 0))

  (func $put (param $byte i32)
    (i32.store8 (global.get $at) (local.get $byte))
    (global.set $at (i32.add (global.get $at) (i32.const 1))))

  (func $mix (param $byte i32)
    (global.set $hash
      (i64.mul
        (i64.xor (global.get $hash) (i64.extend_i32_u (local.get $byte)))
        (i64.const 0x100000001b3))))

  ;; What it was called with, and what it was told.
  (func $called
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 1024) (i32.const 4096)))
    (global.set $at (i32.add (i32.const 4096) (i32.load (i32.const 4))))
    (call $put (i32.const 30))
    (drop (call $environ_sizes (i32.const 8) (i32.const 12)))
    (drop (call $environ (i32.const 2048) (global.get $at)))
    (global.set $at (i32.add (global.get $at) (i32.load (i32.const 12))))
    (call $put (i32.const 30)))

  ;; Counts the spaces from 131072 on.
  (func $words (param $len i32)
    (local $i i32) (local $byte i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
        (local.set $byte (i32.load8_u offset=131072 (local.get $i)))
        (call $mix (local.get $byte))
        (if (i32.eq (local.get $byte) (i32.const 32))
          (then (global.set $count (i32.add (global.get $count) (i32.const 1)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))

  ;; The file of the input with this number; -1 where there is none.
  (func $file (param $n i32) (result i32)
    (local $len i32)
    (local.set $len (i32.const 6))
    (if (i32.ge_u (local.get $n) (i32.const 10))
      (then
        (i32.store8 offset=352 (local.get $len)
          (i32.add (i32.const 48) (i32.div_u (local.get $n) (i32.const 10))))
        (local.set $len (i32.add (local.get $len) (i32.const 1)))))
    (i32.store8 offset=352 (local.get $len)
      (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
    (local.set $len (i32.add (local.get $len) (i32.const 1)))
    (if (call $open (i32.const 3) (i32.const 0)
          (i32.const 352) (local.get $len)
          (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 64))
      (then (return (i32.const -1))))
    (i32.load (i32.const 64)))

  ;; Adds up the numbers of all inputs.
  (func $total
    (local $n i32) (local $file i32) (local $i i32) (local $number i32)
    (block $done
      (loop $next
        (local.set $file (call $file (local.get $n)))
        (br_if $done (i32.eq (local.get $file) (i32.const -1)))
        (i32.store (i32.const 72) (i32.const 131072))
        (i32.store (i32.const 76) (i32.const 24))
        (if (call $fd_read (local.get $file) (i32.const 72) (i32.const 1) (i32.const 80))
          (then (call $exit (i32.const 5))))
        (if (i32.ne (i32.load (i32.const 80)) (i32.const 24)) (then (call $exit (i32.const 6))))
        (drop (call $close (local.get $file)))
        (local.set $i (i32.const 0))
        (local.set $number (i32.const 0))
        (loop $byte
          (call $mix (i32.load8_u offset=131072 (local.get $i)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $byte (i32.lt_u (local.get $i) (i32.const 24))))
        (local.set $i (i32.const 0))
        (loop $digit
          (local.set $number
            (i32.add (i32.mul (local.get $number) (i32.const 10))
              (i32.sub (i32.load8_u offset=131072 (local.get $i)) (i32.const 48))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $digit (i32.lt_u (local.get $i) (i32.const 8))))
        (global.set $count (i32.add (global.get $count) (local.get $number)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br $next))))

  (func $hex
    (local $i i32)
    (loop $digit
      (call $put (i32.load8_u offset=400
        (i32.wrap_i64 (i64.and (i64.const 15)
          (i64.shr_u (global.get $hash) (i64.extend_i32_u (i32.shl (local.get $i) (i32.const 2))))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $digit (i32.lt_u (local.get $i) (i32.const 16)))))

  (func $say (param $key i32)
    (if (call $set (local.get $key) (i32.const 1) (i32.const 4096)
          (i32.sub (global.get $at) (i32.const 4096)))
      (then (call $exit (i32.const 9)))))

  ;; For as long as what was written down has it.
  (func $rest
    (local $i i32)
    (local.set $i (i32.const 4096))
    (loop $next
      (call $mix (i32.load8_u (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (global.get $at))))
    (i64.store (i32.const 128) (i64.const 0))
    (i32.store8 (i32.const 136) (i32.const 0))
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152)
      (i64.mul (i64.const 100000000)
        (i64.and (i64.const 15) (i64.shr_u (global.get $hash) (i64.const 40)))))
    (i64.store (i32.const 160) (i64.const 1))
    (i32.store16 (i32.const 168) (i32.const 0))
    (drop (call $poll (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 256))))

  (func $number
    (local $i i32)
    (local.set $i (i32.const 8))
    (loop $digit
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (i32.store8 offset=131072 (local.get $i)
        (i32.add (i32.const 48) (i32.rem_u (global.get $count) (i32.const 10))))
      (global.set $count (i32.div_u (global.get $count) (i32.const 10)))
      (br_if $digit (local.get $i))))

  (func (export "_start")
    (local $mode i32) (local $fails i32) (local $len i32)
    (call $called)
    (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 1))
      (then
        (local.set $mode (i32.load8_u (i32.load (i32.const 1028))))
        (local.set $fails (i32.eq (i32.const 33)
          (i32.load8_u (i32.add (i32.load (i32.const 1028)) (i32.const 1)))))))
    (if (i32.eq (local.get $mode) (i32.const 116))
      (then (call $total))
      (else
        (local.set $len (call $read (call $input) (i32.const 131072) (i32.const 1900000)))
        (if (i32.eq (local.get $mode) (i32.const 119))
          (then (call $words (local.get $len)))
          (else
            (if (i32.gt_u (local.get $len) (i32.const 60000)) (then (call $exit (i32.const 4))))
            (memory.copy (global.get $at) (i32.const 131072) (local.get $len))
            (global.set $at (i32.add (global.get $at) (local.get $len)))))))
    (if (i32.or (i32.eq (local.get $mode) (i32.const 116)) (i32.eq (local.get $mode) (i32.const 119)))
      (then
        (call $hex)
        (call $number)
        (memory.copy (i32.const 131080) (i32.sub (global.get $at) (i32.const 16)) (i32.const 16))
        (local.set $len (i32.const 24))))
    (call $say (i32.const 320))
    (call $rest)
    (if (local.get $fails) (then (call $exit (i32.const 8))))
    (if (call $read (call $get (i32.const 336) (i32.const 4)) (i32.const 0) (i32.const 0))
      (then (call $exit (i32.const 7))))
    (drop (call $write (call $output) (i32.const 131072) (local.get $len)))
    (call $say (i32.const 321))))
