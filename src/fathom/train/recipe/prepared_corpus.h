// What `fathom prepare` says of a corpus, to standard output: what it is, and how to train on it.
#pragma once

#include "fathom/data/prepare.h"

namespace fathom {

void print_report(const PrepareReport& report);
// Of generated numbers, which need no folder.
void print_generated(bool as_json);

}  // namespace fathom
