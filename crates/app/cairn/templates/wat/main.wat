;; Writes a line: run by `cairn fn invoke`, by schedules, and as the answer to requests.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello from {{name}}\n")
  (func (export "_start")
    ;; One piece: where it begins, and how long it is.
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const {{length}}))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
