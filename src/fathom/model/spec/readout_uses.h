// Which readouts of a program a training pass makes. Torch-free, so that what is told of a step
// beforehand is what it does.
#pragma once

#include <vector>

#include "fathom/model/spec/objective.h"

namespace fathom {

struct DepthProgram;  // depth_program.h

// What somebody makes of a readout's scores.
enum class ReadoutUse : char {
  kNone,   // nothing: they are not made, and the step is as if it had no readout
  kRead,   // they are looked at
  kTaught  // the objective learns from them as well
};

// By number of the readout (StepSpec::readout): those that no term reads and no rule asks are not
// made, but for the program's last one, which answers. Empty: all of them teach.
std::vector<ReadoutUse> readout_uses(const SupervisionTable& table, const DepthProgram& program);

// Of a term at a layer; 0: it is not in the term.
double weight_at(const SupervisionTerm& term, int layer);

}  // namespace fathom
