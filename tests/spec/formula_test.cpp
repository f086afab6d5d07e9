// The text of formulas: it reads back as it is printed, and what does not parse is shown where; and
// the canonical form of wirings: equal where they say the same, and the same computation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "config/config_testing.h"
#include "fathom/model/spec/canonical_wiring.h"
#include "spec/random_formula.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::RandomFormula;
using testing::refusal_of;

constexpr unsigned kFormulas = 300;

std::string formula_refusal(const std::string& text) {
  const Error e = refusal_of([&] { parse_wiring(text); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
  EXPECT_FALSE(e.hint().empty()) << text;
  return e.what();
}

std::string canonical_of(const std::string& text) {
  return to_text(canonical(parse_wiring(text)));
}

TEST(Formula, ReadsBackAsItIsPrinted) {
  for (unsigned seed = 0; seed < kFormulas; ++seed) {
    const Wiring w = RandomFormula(seed).wiring();
    const std::string text = to_text(w);
    EXPECT_EQ(parse_formula(text, "wiring"), w.statements) << text;
  }
}

TEST(Formula, TextInAnyLayoutIsOneTree) {
  const std::pair<const char*, const char*> cases[] = {
      {"r=r+A(n)*M(n)", "r = r + A(n)*M(n)"},
      {"  u = r+A[0] ( n )  ;;\n# between\n r = u - M[ 1 ](N(u))/2 ; # end",
       "u = r + A(n); r = u - M[1](N(u))/2"},
      {"r = (r\n + # a comment\n n)", "r = r + n"},
      {"r = -n - -2*r", "r = -n - -2*r"},
      {"r = --n", "r = -(-n)"},
      {"r = -(2)*n", "r = -2*n"},
      {"r = sig(mean(n))*F.my.gate(r, n)", "r = sigmoid(mean(n))*F.my.gate(r, n)"},
      {"r = .5*n + 1e-3 + 1.", "r = 0.5*n + 0.001 + 1"},
      {"ce = -ln(1-p)*(p_max > 0.5)*prev.ce [layers = 1..L-2,judge=self , x=f(1,[2])]",
       "ce = -ln(1 - p)*(p_max > 0.5)*prev.ce [layers=1..L-2, judge=self, x=f(1,[2])]"},
      {"a = b > c + 1\nd = (a > b)*(c > d)", "a = b > c + 1; d = (a > b)*(c > d)"},
      {"a = b/(c*d)/e", "a = b/(c*d)/e"},
      {"a = f()", "a = f()"},
  };
  for (const auto& [text, printed] : cases) {
    const std::vector<Statement> statements = parse_formula(text, "formula");
    EXPECT_EQ(to_text(statements), printed) << text;
    EXPECT_EQ(parse_formula(printed, "formula"), statements) << text;
  }
}

TEST(Formula, WhatDoesNotParseIsShownByItsColumn) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "column 1: there is no statement"},
      {" # nothing", "column 11: there is no statement"},
      {"r + n", "column 3: \"+\" stands where ="},
      {"r = ", "column 5: the text ends where a value"},
      {"r = (r + n", "column 11: the text ends"},
      {"r = r + n)", "column 10: \")\""},
      {"r = A(n", "column 8: the text ends"},
      {"r = A[x](n)", "column 7: \"x\" stands where a part's number"},
      {"r = A[-1](n)", "column 7: \"-\""},
      {"r = A[1000](n)", "column 7: a part's number is at most"},
      {"r = A[1]", "column 9: the text ends where ("},
      {"r = 2n", "column 6: \"n\""},
      {"r = 1e999*n", "column 5: 1e999 is no number"},
      {"r = 1.2.3", "column 8: \".\""},
      {"r = .", "column 5: \".\""},
      {"r = r > n > y", "column 11: \">\""},
      {"r = r n", "column 7: \"n\""},
      {"r = r [x]", "column 9: \"]\" stands where = "},
      {"r = r [x=]", "column 10: \"]\" stands where an attribute's value"},
      {"r = r [x=1, x=2]", "column 13: attribute x is given twice"},
      {"r = r [x=1", "column 11: the text ends"},
      {"5 = r", "column 1: \"5\""},
      {"r = r \u2299 n", "column 7: \"\u2299\""},
      {"r = n # \u2299\n; s = ?", "column 17: \"?\""},
      {"r = a.b.", "column 8: \".\""},
  };
  for (const auto& [text, message] : cases)
    EXPECT_THAT(formula_refusal(text), HasSubstr(message)) << text;
}

TEST(Formula, SizesHaveLimits) {
  const auto nested = [](int depth) {
    return "r = " + std::string(size_t(depth), '(') + "n" + std::string(size_t(depth), ')');
  };
  EXPECT_NO_THROW(parse_wiring(nested(kDeepestFormula)));
  EXPECT_THAT(formula_refusal(nested(kDeepestFormula + 1)), HasSubstr("one within the other"));
  EXPECT_THAT(formula_refusal(nested(4000)), HasSubstr("one within the other"));
  const auto sum = [](int terms) {
    std::string text = "r = n";
    for (int i = 0; i < terms; ++i) text += "+n";
    return text;
  };
  EXPECT_NO_THROW(parse_wiring(sum(kDeepestFormula)));
  EXPECT_THAT(formula_refusal(sum(kDeepestFormula + 1)), HasSubstr("one within the other"));
  EXPECT_THAT(formula_refusal("r = n" + std::string(kLongestFormula, ' ')), HasSubstr("bytes"));
}

TEST(Formula, WhatAWiringCannotComputeIsShownByItsColumn) {
  const std::pair<const char*, const char*> cases[] = {
      {"a = n; r = r + t", "column 16, in `r = r + t`: t has no value here"},
      {"a = n; n = r", "column 8, in `n = r`: n is computed at the block's door"},
      {"pos = n; r = r", "column 1, in `pos = n`: pos is the position's row"},
      {"r = mean(r)", "column 5, in `r = mean(r)`: r needs a value with channels"},
      {"r = r + M(2*mean(n))", "column 12, in `r = r + M(2*mean(n))`: 2*mean(n) has no channels"},
      {"r = r + A[1](n)", "wiring, column 9: A[1] is called but not all before it"},
      {"r = r/n", "column 6, in `r = r/n`: n is no number to divide by"},
      {"r = r/(2 - 2)", "column 6, in `r = r/(2 - 2)`: it divides by 0"},
      {"r = r*(1e300*1e300)",
       "column 8, in `r = r*(1e300*1e300)`: 1e+300 is no number of single precision"},
      {"r = r*(r > n)", "column 10, in `r = r*(r > n)`: a wiring compares nothing"},
      {"r = exp(r)", "column 5, in `r = exp(r)`: a wiring has no call exp"},
      {"r = mean(r, n)*r",
       "column 5, in `r = mean(r, n)*r`: an operation has 2 arguments, it takes 1"},
      {"r = A(r, n, y, n)", "it takes 1 to 3"},
      {"r = r [per=gate]",
       "column 8, in `r = r [per=gate]`: the statements of a wiring have no attributes"},
      {"a.b = n; r = r", "column 1, in `a.b = n`: \"a.b\" cannot be assigned"},
      {"t = M(n); r = r + A(n)", "column 5, in `t = M(n)`: nothing reads what M(n) gives"},
      {"t=(n\n+M(n)) # M\nr = r + A(n)", "column 7, in `t=(n\\n+M(n))`: nothing reads what M(n)"},
      {"u=r+A(n);\tv=u", "wiring, column 11, in `v=u`: no statement assigns r"},
      {"y = M(n); r = r + A(n)", "column 5, in `y = M(n)`: nothing reads what M(n) gives"},
      {"u=r+A(n);r=u*q", "wiring, column 14, in `r=u*q`: q has no value here"},
      {"r = r + 1e39*A(n)", "column 9, in `r = r + 1e39*A(n)`: 1e+39 is no number of single"},
      {"r = -3.5e38*n", "column 5, in `r = -3.5e38*n`: -3.5e+38 is no number of single"},
      {"r = (sigmoid(800) - 1e60)*n", "column 21, in "},
      {"r = 1e30*1e30*1e-50*n", "column 9, in `r = 1e30*1e30*1e-50*n`: 1e+30*1e+30 is no"},
      {"r = (3e38 + 3e38)*n", "column 11, in `r = (3e38 + 3e38)*n`: 3e+38 + 3e+38 is no"},
      {"r = r/1e-50", "column 6, in `r = r/1e-50`: 1e-50 is too small to divide by"},
  };
  for (const auto& [text, message] : cases)
    EXPECT_THAT(formula_refusal(text), HasSubstr(message)) << text;
  EXPECT_EQ(refusal_of([] { parse_wiring("noise = n; r = r + niose"); }).hint(),
            "did you mean noise?");
  const auto hint = [](const char* text) { return refusal_of([&] { parse_wiring(text); }).hint(); };
  EXPECT_EQ(hint("r = r + A"), "A is a call: A(n)");
  EXPECT_EQ(hint("prev.r = r; r = r"), "a name that is assigned has no dots");
  EXPECT_THAT(hint("r = r + x"), Not(HasSubstr("did you mean"))) << "one letter is near to all";
}

TEST(Formula, NumbersOfSinglePrecisionAreTaken) {
  for (const char* text : {"r = r + 3e38*A(n)", "r = r/3e38", "r = r/1.2e-38", "r = r + 1e-50*n",
                           "r = r + 1e30*(1e30*n)"})
    EXPECT_NO_THROW(parse_wiring(text)) << text;
  EXPECT_EQ(canonical_of("r = 1e30*(1e30*n)"), "r = 1e+30*(1e+30*n)")
      << "a form that would be refused";
}

TEST(Formula, ParsedAndBuiltWiringsAreTheSameTree) {
  EXPECT_EQ(parse_wiring("r = r + A(n); r = r + M(N(r))").statements, pre_norm_wiring().statements);
}

TEST(Formula, WhatOnlyObserversSeeIsRemarked) {
  const WiringParts parts = check_wiring(parse_wiring("u = r + n; mid = 2*u; r = u + A(u)"));
  EXPECT_EQ(parts.unread, (std::vector<bool>{false, true, false}));
}

TEST(Formula, YThatIsAssignedFirstIsNotTheBlockBefore) {
  EXPECT_FALSE(check_wiring(parse_wiring("y = r + M(n); r = y + A(n)")).reads_y);
  EXPECT_TRUE(check_wiring(parse_wiring("a = y; y = M(n); r = r + y + a")).reads_y);
}

// What the channels of one token become, by functions that stand for the parts.
class FormulaInterpreter {
 public:
  using Row = std::vector<double>;  // one number, or one a channel

  explicit FormulaInterpreter(int exchange) : exchange_(exchange) {}

  Row result(const Wiring& w) {
    values_ = {{"r", {0.3, -0.7, 1.1}}, {"n", {0.9, 0.2, -0.4}}, {"y", {-0.5, 0.8, 0.6}}};
    const Row before = values_["r"];
    bool assigns_y = false;
    for (const Statement& s : w.statements) {
      values_[s.target] = value(s.value);
      assigns_y = assigns_y || s.target == "y";
    }
    Row out = values_["r"];
    if (check_wiring(w).reads_y)
      for (size_t i = 0; i < 3; ++i)
        out.push_back(assigns_y ? values_["y"][i] : out[i] - before[i]);
    return out;
  }

 private:
  Row value(const Expr& e) {
    std::vector<Row> x;
    for (const Expr& arg : e.args) x.push_back(value(arg));
    switch (e.op) {
      case Expr::kName:
        return values_.at(e.name);
      case Expr::kNumber:
        return {e.number};
      case Expr::kAdd:
        return joined(x, [](double a, double b) { return a + b; });
      case Expr::kSubtract:
        return joined(x, [](double a, double b) { return a - b; });
      case Expr::kMultiply:
        return joined(x, [](double a, double b) { return a * b; });
      case Expr::kDivide:
        return joined(x, [](double a, double b) { return a / b; });
      case Expr::kCall:
        if (e.name == "sigmoid")
          return joined({x[0], {0}}, [](double a, double) { return 1 / (1 + std::exp(-a)); });
        return {(x[0][0] + x[0][1] + x[0][2]) / (e.name == "mean" ? 3 : 1)};
      default:
        return part(e, x);
    }
  }

  Row part(const Expr& e, const std::vector<Row>& x) const {
    const int kind = e.op == Expr::kAttention ? 0 : e.op == Expr::kMlp ? 1 : 2;
    const int own = (exchange_ >> kind & 1) != 0 ? 1 - e.part : e.part;
    Row out;
    for (size_t i = 0; i < 3; ++i)
      out.push_back(std::sin(x[0][i] + 0.3 * x[0][(i + 1) % 3] + kind + 0.5 * own) +
                    (kind == 0 ? std::cos(x.back()[i]) + keys_part(x, i) : 0));
    return out;
  }

  static double keys_part(const std::vector<Row>& x, size_t i) {
    return std::sin(2 * x[x.size() > 2 ? 1 : 0][i]);
  }

  template <class F>
  static Row joined(const std::vector<Row>& x, const F& f) {
    Row out;
    for (size_t i = 0; i < std::max(x[0].size(), x[1].size()); ++i)
      out.push_back(f(x[0][i % x[0].size()], x[1][i % x[1].size()]));
    return out;
  }

  int exchange_;
  std::map<std::string, Row> values_;
};

// With some exchange of part numbers.
bool computes_the_same(const Wiring& a, const Wiring& b) {
  const FormulaInterpreter::Row expected = FormulaInterpreter(0).result(a);
  for (int exchange = 0; exchange < 8; ++exchange) {
    const FormulaInterpreter::Row got = FormulaInterpreter(exchange).result(b);
    // y that only an unread value reads may go.
    bool same = got.size() <= expected.size();
    for (size_t i = 0; same && i < got.size(); ++i)
      same = std::abs(got[i] - expected[i]) <= 1e-9 * (1 + std::abs(expected[i]));
    if (same) return true;
  }
  return false;
}

TEST(CanonicalWiring, ComputesTheSameAndIsItsOwnForm) {
  for (unsigned seed = 0; seed < kFormulas; ++seed) {
    const Wiring w = RandomFormula(seed).wiring(), form = canonical(w);
    ASSERT_TRUE(computes_the_same(w, form)) << to_text(w) << "\n" << to_text(form);
    ASSERT_EQ(to_text(canonical(form)), to_text(form)) << to_text(w);
    ASSERT_EQ(to_text(parse_wiring(to_text(form))), to_text(form));
  }
}

TEST(CanonicalWiring, IsTheSameHoweverItIsSaid) {
  for (unsigned seed = 0; seed < kFormulas; ++seed) {
    RandomFormula random(seed);
    const Wiring w = random.wiring();
    for (int times = 0; times < 3; ++times) {
      const Wiring other = random.said_otherwise(w);
      ASSERT_EQ(to_text(canonical(other)), to_text(canonical(w))) << to_text(w) << "\n"
                                                                  << to_text(other);
    }
  }
}

TEST(CanonicalWiring, HasAFormThatPeopleRead) {
  const std::pair<const char*, const char*> cases[] = {
      {"r = r + A(n); r = r + M(N(r))", "t1 = r + A(n); r = t1 + M(N(t1))"},
      {"a = A(n); u = a + r; r = M(N(u)) + u", "t1 = r + A(n); r = t1 + M(N(t1))"},
      {"a = A(n); r = r + a + M(N(r + a))", "t1 = r + A(n); r = t1 + M(N(t1))"},
      {"y = r + M(n); r = y + A(n)", "r = r + A(n) + M(n)"},
      {"r=r+A(n)+M(n)", "r = r + A(n) + M(n)"},
      {"u = r*A[1](n) + A[0](n); r = u + M(N[1](u)) + 0*N(r)",
       "t1 = r*A(n) + A[1](n); r = t1 + M(N(t1)) + 0*N[1](r)"},
      {"r = r + 2*(3*A(n)) + 0", "r = r + 6*A(n)"},
      {"r = r - (n - M(n))*1", "r = r - n + M(n)"},
      {"a = A(n); r = r + a*M(n + N(a))", "t1 = A(n); r = r + t1*M(n + N(t1))"},
      {"r = r + M(n)*A(n)", "r = r + A(n)*M(n)"},
      {"r = r + A(n) + A(n)", "r = r + A(n) + A(n)"},
      {"a = A(n); r = r + a + a", "r = r + 2*A(n)"},
      {"r = r*(n + 1 - 2*M(n))", "r = r*(n - 2*M(n) + 1)"},
      {"r = r*(1 - sigmoid(M(n)))", "r = r*(1 - sigmoid(M(n)))"},
      {"y = A(y)*M(y); r = r + y", "r = r + A(y)*M(y)"},
      {"r = r + A(n, n, r)", "r = r + A(n, r)"},
      {"r = r + A(n, 1*n, n)", "r = r + A(n)"},
      {"r = r + A(r, n, n)", "r = r + A(r, n, n)"},
      {"a = r + n; r = A(r, n + r, a)", "t1 = r + n; r = A(r, t1, t1)"},
  };
  for (const auto& [text, form] : cases) EXPECT_EQ(canonical_of(text), form) << text;
}

TEST(CanonicalWiring, FactorsGoThroughSumsThatAreMultiplied) {
  const std::pair<const char*, const char*> alike[] = {
      {"r = r + 2*(n + A(n))*M(n)", "r = r + (n + A(n))*M(n)*2"},
      {"r = r + (-n - A(n))*M(n)", "r = r - (n + A(n))*M(n)"},
      {"r = r + (n - 2*A(n))*M(n)", "r = r - (2*A(n) - n)*M(n)"},
      {"r = r - (2*M(n) - 2*A(n))*n", "r = r + 2*n*(A(n) - M(n))"},
      {"g = sigmoid(M(n)); z = A(n); r = (1 - g)*r + g*z",
       "g = sigmoid(M(n)); z = A(n); r = g*z - (g - 1)*r"},
      {"r = r + (A(n) - A[1](n))*n", "r = r + (A[1](n) - A(n))*n"},
      {"r = r + 2*(n + 2*A(n))*M(n)", "r = r + (2*n + 4*A(n))*M(n)"},
      {"r = r + 2*(n + A(n))*(r + M(n))", "r = r + (n + A(n))*(2*(r + M(n)))"},
      {"r = r + (0.3*n + 0.7*A(n))*M(n)", "r = r + (3*n + 7*A(n))*(M(n)/10)"},
      {"r = r + 3*A(n)/10", "r = r + 0.3*A(n)"},
      {"r = r + A(n)/49*49", "r = r + A(n)"},
      {"r = r + A(n)/3", "r = r + 0.3333333333333333*A(n)"},
  };
  for (const auto& [one, other] : alike) EXPECT_EQ(canonical_of(one), canonical_of(other)) << one;
  EXPECT_EQ(canonical_of("r = r + 3*A(n)/10"), "r = r + 0.3*A(n)");
  EXPECT_EQ(canonical_of("r = r + 0.1*n + 0.2*n - 0.3*n"), "r = r + 0*n");
  EXPECT_EQ(canonical_of("r = r + 2*((n + A(n))*(r + M(n)))"), "r = r + 2*((r + M(n))*(n + A(n)))");
}

TEST(CanonicalWiring, TellsWhichPartDoesWhat) {
  const auto by_part = [](const char* text) { return text_by_part(parse_wiring(text)); };
  const char* const two = "u = r*A[1](n) + A(n); r = u + M(N(u))";
  const char* const exchanged = "u = r*A(n) + A[1](n); r = u + M(N(u))";
  EXPECT_EQ(canonical_of(two), canonical_of(exchanged));
  EXPECT_NE(by_part(two), by_part(exchanged));
  EXPECT_EQ(by_part(two), by_part("v = A(n) + r*A[1](n); r = M(N(v)) + v"));
  EXPECT_EQ(by_part("r = r + A(n) + A[1](n)"), by_part("r = r + A[1](n) + A(n)"));
  EXPECT_NE(by_part("r = A(A[1](n))"), by_part("r = A[1](A(n))"));
}

TEST(CanonicalWiring, ScalesThatWeightsTakeUpAreEquivalentAndNotTheSame) {
  const auto equivalence = [](const std::string& text, const OutputScales& scales = {}) {
    return equivalence_text(parse_wiring(text), scales);
  };
  const std::string parallel = equivalence("r = r + A(n) + M(n)");
  EXPECT_EQ(parallel, "r = r + A(n) + M(n)");
  for (const char* text : {"r = r + 2*A(n) + M(n)", "r = r - A(n)/3 + 0.5*M(n)"}) {
    EXPECT_EQ(equivalence(text), parallel) << text;
    EXPECT_NE(canonical_of(text), parallel) << text;
  }
  EXPECT_EQ(equivalence("r = r + 2*A(n) + 3*M(n)", {false, true}), "r = r + 2*A(n) + M(n)");
  EXPECT_EQ(equivalence("r = r - 2*A(n)*M(n)", {false, true}), "r = r + A(n)*M(n)");
  EXPECT_EQ(equivalence("r = r + 2*A(n); r = r + M(N(r))"),
            equivalence("r = r + A(n); r = r + M(N(r))"));
  // Not where a part is called twice, a value has two factors, or nothing is left.
  for (const char* text : {"r = r + 2*A(n) + A(r)", "t1 = A(n); r = r + 2*t1 + M(t1)",
                           "r = r + 0*A(n)", "r = r + 2*N(n)"})
    EXPECT_EQ(equivalence(text), canonical_of(text)) << text;
}

TEST(CanonicalWiring, HashesTellFormsApart) {
  const auto hash = [](const char* text) { return wiring_hash(parse_wiring(text)); };
  EXPECT_EQ(hash("r = r + A(n) + M(n)"), hash("y=r+M(n); r=y+A(n)"));
  EXPECT_EQ(hash("r = A[1](A(n))"), hash("r = A(A[1](n))"));
  EXPECT_NE(hash("r = A[1](A(n))"), hash("r = A(A(n))"));
  EXPECT_NE(hash("r = r + A(n) + M(n)"), hash("r = r + A(n)*M(n)"));
  EXPECT_NE(hash("r = r + 2*A(n)"), hash("r = r + A(n)"));
  EXPECT_NE(hash("r = r + A(n, r, y)"), hash("r = r + A(n, y)"));
  EXPECT_NE(hash("r = r + A(n, r, y)"), hash("r = r + A(r, n, y)"));
  EXPECT_EQ(hash("r = r + A(n)").size(), 16U);
}

// Y counts where it is read, be it by another wiring of the plan.
TEST(CanonicalWiring, YIsThereWhereItIsRead) {
  const Wiring w = parse_wiring("r = r + A(n); y = r");
  EXPECT_EQ(to_text(canonical(w)), "r = r + A(n)");
  EXPECT_EQ(to_text(canonical(w, true)), "t1 = r + A(n); y = t1; r = t1");
  EXPECT_EQ(canonical_of("y = r + M(y); r = y*n"), "t1 = r + M(y); y = t1; r = n*t1");
  EXPECT_EQ(canonical_of("mid = M(y); y = r; r = r + M(n)"), "r = r + M(n)") << "mid is unread";
}

TEST(CanonicalWiring, LargeOnesAreTheirOwnForm) {
  std::string text = "r = r + n";
  for (int i = 0; i < 200; ++i) text += "; r = N(r) + n";
  EXPECT_EQ(canonical_of(text), to_text(parse_wiring(text)));
  EXPECT_EQ(canonical_of("a = r*r; a = a*a; a = a*a; r = a*a"),
            "a = r*r; a = a*a; a = a*a; r = a*a");
}

}  // namespace
}  // namespace fathom
