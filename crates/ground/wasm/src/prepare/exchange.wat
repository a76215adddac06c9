;; What every adapter has beside the functions that are only passed on. It becomes a part of a module.
(import "env" "memory" (memory 0))
(import "cairn:compute/adapter@0.1.0" "buffer-size" (func $buffer_size (param i32) (result i32)))
(import "cairn:compute/adapter@0.1.0" "buffer-part" (func $buffer_part (param i32 i32 i32 i32)))
(import "cairn:compute/adapter@0.1.0" "now" (func $now (result i64)))
(import "cairn:compute/adapter@0.1.0" "is-entry" (func $is_entry (param i64) (result i32)))
(import "cairn:compute/adapter@0.1.0" "no-entry" (func $no_entry))
(import "cairn:compute/adapter@0.1.0" "argument" (func $argument (param i32) (result i32)))
(import "cairn:compute/adapter@0.1.0" "ended" (func $ended (param i32)))
(import "cairn:compute/adapter@0.1.0" "aborted" (func $aborted (param i32 i32 i32 i32 i32 i32)))
(import "cairn:compute/adapter@0.1.0" "seed" (func $seed (result f64)))

;; Where the host puts the bytes that it answers with: the guest has said where.
(global $into (mut i32) (i32.const 0))
(func (export "cabi_import_realloc") (param i32 i32 i32 i32) (result i32) (global.get $into))

(func (export "read_exchange_buffer")
  (param $id i32) (param $address i32) (param $length i32) (result i32)
  (local $size i32) (local $at i32) (local $told i32) (local $kept i64)
  (local.set $size (call $buffer_size (local.get $id)))
  (if (i32.or (i32.eqz (local.get $address)) (i32.lt_u (local.get $length) (local.get $size)))
    (then (return (local.get $size))))
  ;; The host tells an address and a length in 8 bytes that are not among those it fills, and are put back.
  (local.set $told
    (select
      (i32.const 0)
      (i32.and (i32.add (i32.add (local.get $address) (local.get $size)) (i32.const 7)) (i32.const -8))
      (i32.ge_u (local.get $address) (i32.const 8))))
  (block $ended
    (loop $parts
      (br_if $ended (i32.ge_u (local.get $at) (local.get $size)))
      (local.set $kept (i64.load (local.get $told)))
      (global.set $into (i32.add (local.get $address) (local.get $at)))
      (call $buffer_part
        (local.get $id)
        (local.get $at)
        (i32.sub (local.get $size) (local.get $at))
        (local.get $told))
      ;; What was read, and then the place as it was.
      (local.set $length (i32.load offset=4 (local.get $told)))
      (i64.store (local.get $told) (local.get $kept))
      (br_if $ended (i32.eqz (local.get $length)))
      (local.set $at (i32.add (local.get $at) (local.get $length)))
      (br $parts)))
  (local.get $at))

(func (export "get_time") (param $address i32) (param $length i32) (result i32)
  (if (i32.lt_u (local.get $length) (i32.const 8)) (then (return (i32.const 65535))))
  (i64.store align=1 (local.get $address) (call $now))
  (i32.const 0))

;; The length of a string of AssemblyScript stands before it.
(func $string_length (param $string i32) (result i32)
  (if (result i32) (i32.lt_u (local.get $string) (i32.const 4))
    (then (i32.const 0))
    (else (i32.load (i32.sub (local.get $string) (i32.const 4))))))
(func (export "abort") (param $message i32) (param $file i32) (param $line i32) (param $column i32)
  (call $aborted
    (local.get $message) (call $string_length (local.get $message))
    (local.get $file) (call $string_length (local.get $file))
    (local.get $line) (local.get $column))
  (unreachable))
(func (export "seed") (result f64) (call $seed))
