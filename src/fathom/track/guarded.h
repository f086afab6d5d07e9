// What surrounds a program: the process as it should be, and every failure as a sentence.
#pragma once

#include <chrono>
#include <exception>
#include <string>

#include "fathom/base/error.h"

namespace fathom {

// Calls `body`; prints an Error as `fathom: ...` with its HINT and turns it into an exit code, and
// so with whatever else is thrown. An exit code of 0 needs an output that could be written, unless
// it is only watched (track/console.h).
int guarded(int (*body)(int, char**), int argc, char** argv);

// "fathom: ...", and its HINT below, on standard error.
void tell_error(const Error& error);
// The same of what ends the program: where it was asked to, it is left in a file as well.
void print_error(const Error& error);

int exit_code_of(const Error& error);

// Of ranks that a launcher ends when one of them fails: guarded() says an error only after so long,
// for local rank 0 says the same at once, and this process is ended meanwhile. 0: at once.
void delay_errors(std::chrono::milliseconds delay);

// What is said is also left in this file, as torchrun reads it there (TORCHELASTIC_ERROR_FILE) and
// repeats it in its own report.
void leave_errors_in(const std::string& file);

// Any exception as the Error that is to be printed; a net under the library's own errors.
Error as_error(const std::exception& exception);

}  // namespace fathom
