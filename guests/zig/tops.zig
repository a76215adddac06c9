//! Counts how often each line of its input is there, most often first, as `sort | uniq -c | sort -rn` does, or only so
//! many of them as its argument says: a program that knows nothing of where it is run.
//! zig build-exe tops.zig -target wasm32-wasi -O ReleaseSmall
const std = @import("std");

const Line = struct {
    text: []const u8,
    count: usize,

    fn before(_: void, a: Line, b: Line) bool {
        if (a.count != b.count) return a.count > b.count;
        return std.mem.lessThan(u8, a.text, b.text);
    }
};

pub fn main(init: std.process.Init) !void {
    const arena = init.arena.allocator();
    const args = try init.minimal.args.toSlice(arena);
    const most = if (args.len > 1) try std.fmt.parseInt(usize, args[1], 10) else std.math.maxInt(usize);

    var buffer: [4096]u8 = undefined;
    var input: std.Io.File.Reader = .init(.stdin(), init.io, &buffer);
    const text = try input.interface.allocRemaining(arena, .unlimited);

    var counts: std.StringArrayHashMapUnmanaged(usize) = .empty;
    var all = std.mem.splitScalar(u8, std.mem.trimEnd(u8, text, "\n"), '\n');
    if (text.len > 0) while (all.next()) |line| {
        const found = try counts.getOrPutValue(arena, line, 0);
        found.value_ptr.* += 1;
    };
    const lines = try arena.alloc(Line, counts.count());
    for (lines, counts.keys(), counts.values()) |*line, key, count| line.* = .{ .text = key, .count = count };
    std.mem.sort(Line, lines, {}, Line.before);

    var out: [4096]u8 = undefined;
    var output: std.Io.File.Writer = .init(.stdout(), init.io, &out);
    for (lines[0..@min(most, lines.len)]) |line| {
        try output.interface.print("{d:>7} {s}\n", .{ line.count, line.text });
    }
    try output.interface.flush();
}
