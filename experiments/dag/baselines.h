// What is reached without looking at the text: constants, learned from other sequences. Torch-free.
//
// P programs, V values, D operations, as in metrics.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace fathom::dag {

// Execution is told for both; a result is right within max(1e-6, rtol |true|).
inline constexpr std::array<double, 2> kTolerances = {1e-6, 1e-2};
bool is_right(double result, double truth, double rtol);

// Labels as plain numbers.
struct TruePrograms {
  int64_t P = 0, V = 0, D = 0;
  std::vector<double> sign, log;       // P * V
  std::vector<int64_t> used;           // P * V: 1, or 0 where identity drops the value
  std::vector<int64_t> op;             // P * D; -1: the model has it not
  std::vector<double> result;          // P
  std::vector<int64_t> real, wording;  // P
  std::vector<int64_t> sequence;       // P, ascending
  std::vector<int64_t> number;         // P, ascending: equal ones are the same program

  const int64_t* program(int64_t p) const { return op.data() + p * D; }  // its D operations
};

// What somebody says of a program.
struct Guess {
  std::vector<int64_t> op;            // D, one by one
  std::vector<int64_t> program;       // D, all together
  std::vector<double> sign, log;      // V
  std::array<double, 2> result = {};  // for each of kTolerances
  bool negative = false;              // the result
};

// For programs of even and of odd sequences, what suits those of the others best, each of which
// counts once; unset: there are no others.
std::array<std::optional<Guess>, 2> constant_guesses(const TruePrograms& truth);

}  // namespace fathom::dag
