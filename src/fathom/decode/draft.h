// Draft and verify (Leviathan et al. 2023, Stern et al. 2018), for the likeliest token alone: cheap
// proposals of several tokens, which one pass checks. What is emitted is what a token at a time
// gives, whatever was proposed. For generate.cpp.
#pragma once

#include "fathom/decode/generate.h"

namespace fathom {

// generate() with a draft; `texts` and `options.window` have the shift token in them, if there is
// one.
//
// A round of kShift: a pass over M sequences of each text, which differ in their shift token, gives
// the next token and M - 1 proposals behind it. Then a pass over all of these in the sequence of
// shift 1 tells which are right, and the token behind them: 2 to M + 1 tokens in two passes.
//
// A round of kExit: M short passes propose, one pass checks: 1 to M + 1 tokens.
//
// Where a token moves the window nothing can be proposed, for all keys are others then: with
// Overflow::kRecompute, from the end of the window on.
GenerateReport generate_drafted(const NextTokenModel& model,
                                std::vector<std::vector<int64_t>> texts,
                                const GenerateOptions& options, const EmitToken& emit);

}  // namespace fathom
