//! Answers requests as a CGI script does (RFC 3875): what is asked is in the environment, a body is the
//! standard input, and what is written is headers, an empty line and a body.
const std = @import("std");

pub fn main(init: std.process.Init) !void {
    const path = init.environ_map.get("PATH_INFO") orelse "nothing";
    var buffer: [1024]u8 = undefined;
    var output: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    try output.interface.print("Content-Type: text/plain\r\n\r\n", .{});
    try output.interface.print("hello from {{name}}, you asked for {s}\n", .{path});
    try output.interface.flush();
}
