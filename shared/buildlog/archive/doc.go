// Package archive is the form in which a build's log is kept once it has ended: one file that is
// read from any line on.
//
//	frame, frame, ...   zstd, each decoded alone: about 256 KiB of lines
//	index               a skippable frame: lines and time of each frame, how far each writer's numbers went
//	seek table          of zstd's seekable format: where each frame begins
//
// So `zstd -dc` shows the lines, one each: attempt, milliseconds since the epoch, level, stage and
// text, with a tab between. In stage and text a backslash, line break, carriage return or tab of
// their own is written \\, \n, \r or \t.
//
// Write it with a Writer, which streams; read it with a Reader, which asks its Source for the end
// of the file once and then for the frames that hold the lines wanted. Neither holds more than a
// few frames.
package archive
