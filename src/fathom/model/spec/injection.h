// What enters the residual stream at a door: of a step, or of the walk, whose first door is the
// stem. Torch-free; carried out by walk/injection.h.
#pragma once

#include <cstdint>

#include "fathom/model/spec/norm_spec.h"

namespace fathom {

// Where a step stands in a loop that is open.
struct LoopPlace {
  int group = 0;
  int64_t iteration = 0;
  // Of a loop that sequences enter late, so that all leave it together: how many iterations there
  // are. Random numbers of such a loop are addressed from its end, where no sequence's place
  // depends on the others'. 0: all enter at the first.
  int64_t late = 0;

  bool operator==(const LoopPlace& o) const { return group == o.group && iteration == o.iteration; }
};

// How a loop's adapter, C by 2C over [x0; state], begins.
enum class AdapterInit {
  kNormal,    // as other weights do
  kIdentity,  // [I, 0]: every iteration begins as the first did
  kHalf,      // [I/2, I/2]
};

// A loop's noise in passes that train nothing.
enum class NoiseInEval {
  kSame,       // as in training, of the pass's random numbers
  kZero,       // its mean
  kFixedSeed,  // the same for every sequence and every pass
};

// What happens to the residual stream at a door, in the order of the list.
struct Injection {
  enum Kind {
    kOpenLoop,       // remember the stream as the loop's x0; the stream becomes its first state
    kLoopInput,      // x0 + state, or the adapter's linear map of [x0; state]
    kLoopSignal,     // row k of a table of the loop's meets it at iteration k
    kGate,           // g = sigmoid(gate(stream)), for the next kTokenTable
    kWiden,          // zeros appended up to the step's width
    kTokenTable,     // the token's row meets the stream; after a kGate g * row + (1 - g) * stream
    kPositionTable,  // the position's row meets it
    kScale,          // amount * stream
    kNorm,           // norm(stream)
    kNoise,          // stream + amount * N(0, 1), in every pass
  };
  // stream + row; stream * row; the stream as it is, and only blocks read the row (kPositionTable)
  enum Meeting { kAdd, kMultiply, kNotMet };
  Kind kind;
  int instance = -1;                   // of gate, table or adapter; -1 at kLoopInput: added
  bool every_iteration = true;         // false: on a loop's first iteration only
  Meeting meeting = kAdd;              // of a table that no gate is before
  double amount = 1;                   // of kScale and kNoise
  NormSpec norm = {NormId::kDoor, 0};  // of kNorm
  AdapterInit adapter_init = AdapterInit::kNormal;  // of kLoopInput
  // Of kLoopSignal: iterations that have a row of their own, later ones have the last; rows of C
  // channels are added, those of one number multiply.
  int64_t rows = 0;

  // Filled in by unroll().
  LoopPlace loop = {};          // of kOpenLoop, kLoopInput and kLoopSignal
  bool newcomers_only = false;  // not for rows that have had the loop's first iteration
  bool plain = false;           // kOpenLoop: its only iteration is the plain layers
  double noise = 0;             // kOpenLoop: the first state's standard deviation; 0: none
  NoiseInEval noise_in_eval = NoiseInEval::kSame;  // kOpenLoop
  bool cut_state = false;                          // kLoopInput: no gradient into the state
  // False: carried out without a graph. A door may hold injections of loops further out that have
  // one where its step has none.
  bool grad = true;

  void check(const PartPlace& place) const;
  void declare(const PartPlace& place, ParameterList& list) const;
  void cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const;
};

// "position_table", the stem's of GPT-2, or "position_table.3".
std::string position_table_name(int instance);

}  // namespace fathom
