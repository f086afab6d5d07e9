// Programs of a text's tokens as formulas, and what of them their results are made of. Torch-free.
//
// V values that the executor begins with, D operations. Nodes of a program are numbered: the values
// 0 .. V - 1, then the operations' results V .. V + D - 1.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "experiments/dag/program_trace.h"
#include "fathom/report/render.h"

namespace fathom::dag {

inline constexpr report::NumberForm kValueForm = {report::NumberForm::Kind::kGeneral, 4};

std::string node_name(const TokenProgram& program, size_t node);  // "value 2", "step 1"
// What the chosen program has there. A sign in between is one of 1 or -1 to it, as in its results.
double node_value(const TokenProgram& program, size_t node);
// The nodes that operation k takes, the deeper one of a stack first; whether it takes the second.
std::pair<size_t, size_t> operands_of(const TokenProgram& program, size_t k);
bool takes_two(const TokenProgram& program, size_t k);
std::vector<bool> reached_nodes(const TokenProgram& program);  // those the result is made of
bool divides_by_zero(const TokenProgram& program);             // an operation that it is made of
// "2 * (12 - 3.4)", of the likeliest operations and operands; what would be longer than a line has
// names of nodes in it.
std::string formula_of(const TokenProgram& program);
// "2 * (12 - 3.4) = 17.2", or why it has no value.
std::string equation_of(const TokenProgram& program);
// The same of any formula. Of 1 / (2 / 0) the infinity within cancels, and it has no value either.
// Of a number alone (`computes` is false) that number.
std::string equation(const std::string& formula, bool computes, double value, bool divides_by_zero,
                     const report::NumberForm& form);

}  // namespace fathom::dag
