// Printing what is only watched: progress, notes, errors. A console that is full, stuck, closed or
// gone is never the end of the work, so nothing here throws, ends the process, or waits long.
//
// What is the product of a command (a table, a text, numbers for a file) is printed as usual, and
// require_written() sees to it that a lost output is not taken for success.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace fathom {

// Writes `text` at once, as it is. Where a pipe's reader or a stopped terminal takes nothing for a
// second, later output waits in memory, the newest is dropped beyond 64 KiB, and what was lost is
// counted on the console when it goes on. False: nothing of it will ever be seen.
bool say_raw(std::FILE* stream, std::string_view text) noexcept;

// The same for text with words from outside: what a terminal would obey or not show is escaped
// (base/visible.h), paths of held folders get their names, and lines are fitted() to a terminal.
bool say(std::FILE* stream, std::string_view text) noexcept;

// Of several processes that do one work together, this one has that number. Rank 0 speaks for all:
// from others nothing is seen but their errors, marked "[rank 1]", for say_note() is silent there,
// and their standard output is put away. To be called before other threads are there.
void speak_as_rank(int rank);
// "[rank 1] ", or nothing.
std::string rank_mark();

// "note: ...\n" on standard error.
void say_note(std::string_view sentence) noexcept;

// For the end of the process: what waits for a stuck console gets a last second.
void finish_consoles() noexcept;

// The stream has failed for good: closed, its reader gone, its terminal gone.
bool is_gone(std::FILE* stream) noexcept;

// Declares that standard output too is only watched, as in training: from then on whether it could
// be written says nothing about the outcome, and a reader that goes does not end the process.
void console_is_only_watched();

// Throws Error(kFailure) if something printed to standard output could not be written, unless that
// is only watched. Flushes it.
void require_written();
// Such an Error, for the errno value `error` (0: unknown).
[[noreturn]] void fail_output(int error);

// Occupies the descriptors 0, 1 and 2 where the process was started without them, lest a file that
// is opened later be taken for the console. Reading or writing there fails as before.
void occupy_standard_descriptors();

}  // namespace fathom
