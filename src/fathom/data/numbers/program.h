// A program of arithmetic over written numbers, as labels have it: a stack of values and the
// operations that fold it into one.
//
// S = D + 1 values, D operations.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Those that texts write down come first, in the order in which labels number them: identity among
// them, which fills a program up.
enum class Operation { kAdd, kSubtract, kMultiply, kDivide, kIdentity, kMax, kMin, kPower, kLog };
inline constexpr std::array<Operation, 9> kOperations = {
    Operation::kAdd,    Operation::kSubtract, Operation::kMultiply,
    Operation::kDivide, Operation::kIdentity, Operation::kMax,
    Operation::kMin,    Operation::kPower,    Operation::kLog};
inline constexpr std::array<Operation, 5> kWrittenOperations = {
    Operation::kAdd, Operation::kSubtract, Operation::kMultiply, Operation::kDivide,
    Operation::kIdentity};
inline constexpr bool is_written(Operation operation) {
  return operation <= Operation::kIdentity;
}
// Identity and log take the first operand alone.
bool is_unary(Operation operation);
const char* to_text(Operation operation);  // "add", "subtract", ..., "max", "min", "power", "log"
// "+", "-", "*", "/", "^"; of the others, which have none between two operands, ""
const char* sign_of(Operation operation);
// Throws Error(kUsage) with the nearest name.
Operation operation_named(std::string_view name);
// "add, identity, multiply": in their order, each once. Throws Error(kUsage) where it is not that.
std::vector<Operation> operations_named(std::string_view list);
// The same of texts: a name that is none is told those that texts write down.
std::vector<Operation> operations_named_for_texts(std::string_view list);
// What power and log hold their operands and results to.
inline constexpr double kMostBase = 1000, kMostExponent = 6, kMostLog = 20;
// Of two numbers; a division by 0, and 0 to a negative power, is not finite.
//   identity  x
//   power     sign(x) |x|^y, |x| held to kMostBase and y to +-kMostExponent
//   log       ln |x|, held to +-kMostLog, at 0 too
double apply(Operation operation, double x, double y);

// A number as it is written: units * 10^-decimals. -3.07 is {-307, 2}; 4.0 and 4 are different.
inline constexpr int kMostDigits = 18, kMostDecimals = 12;
struct Decimal {
  int64_t units = 0;
  int decimals = 0;  // 0 to kMostDecimals

  double value() const;  // the nearest one
};
bool operator==(const Decimal& a, const Decimal& b);
std::string to_text(const Decimal& decimal);  // "-3.07"
// All of `text`: an optional minus, digits, and a point with digits behind it. Throws Error(kUsage)
// for anything else, for more than kMostDigits digits and for more than kMostDecimals behind the
// point.
Decimal parse_decimal(std::string_view text);

struct NumberProgram {
  std::vector<Decimal> values;  // S, of the stack: the last one is its top
  // D, in the order of execution. Each takes the two topmost, the deeper one first, and leaves its
  // result in their place: the values a, b, c and the operations o1, o2 are a o2 (b o1 c).
  std::vector<Operation> operations;

  size_t depth() const { return operations.size(); }
};
bool operator==(const NumberProgram& a, const NumberProgram& b);

// The results of the operations in their order; the last one is the program's value (of a program
// without operations there are none, and its value is its value). Throws Error for a program whose
// numbers of values and operations do not fit each other.
std::vector<double> results_of(const NumberProgram& program);
double value_of(const NumberProgram& program);
// Which values reach the result: identity and log drop their second operand.
std::vector<bool> used_values(const NumberProgram& program);
// Operations that are no identity.
int64_t real_operations(const NumberProgram& program);

}  // namespace fathom
