// What surrounds a program: the process as it should be, and every failure as a sentence.
#pragma once

#include <exception>

#include "fathom/base/error.h"

namespace fathom {

// Calls `body`; prints an Error as `fathom: ...` with its HINT and turns it into an exit code, and
// so with whatever else is thrown. An exit code of 0 needs an output that could be written, unless
// it is only watched (track/console.h).
int guarded(int (*body)(int, char**), int argc, char** argv);

// "fathom: ...", and its HINT below, on standard error.
void print_error(const Error& error);

int exit_code_of(const Error& error);

// Any exception as the Error that is to be printed; a net under the library's own errors.
Error as_error(const std::exception& exception);

}  // namespace fathom
