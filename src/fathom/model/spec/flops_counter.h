// Multiplications and additions of walks that leave something out (2 per multiply-add, as Flops has
// them): a program's steps as prices, and what was computed of each. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "fathom/model/spec/depth_program.h"

namespace fathom {

// What was computed at a step of a walk.
struct StepWork {
  int step = 0;           // of the program
  int64_t rows = 0;       // that went through the step
  int64_t keys_only = 0;  // other rows, of which nothing but keys and values was made
  double met = 0;         // pairs of such a row and a key that was there for it
  int64_t read = 0;       // rows that were read out
  bool taught = true;     // and the objective learns from that
  int64_t judged = 0;     // states that a loop's rule read out, at the end of an iteration
};

class FlopsCounter {
 public:
  FlopsCounter(const DepthPlan& plan, const DepthProgram& program, const BackboneConfig& backbone,
               int64_t vocab_size);

  // `rows`: that came to the stem. `gradients`: with those of the backward pass, twice the
  // forward's, of steps that have any.
  double of(int64_t rows, const std::vector<StepWork>& work, bool gradients) const;

 private:
  struct Prices {
    double row = 0, pair = 0, keys_only = 0, read = 0, judged = 0;
    bool grad = true;
    // Of a row, what a gradient goes through: of a step without one, injections of a loop around
    // it.
    double row_with_gradient = 0;
  };
  double stem_ = 0;  // of a row
  std::vector<Prices> steps_;
};

}  // namespace fathom
