#include "fathom/model/params.h"

#include <fmt/format.h>

#include <sstream>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// "attention.3.qkv.weight" is part "attention", instance 3, linear "qkv", tensor "weight".
struct PartName {
  std::string part, linear, tensor;
  int instance = 0;
};

PartName parse(const std::string& name) {
  std::istringstream in(name);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '.');) words.push_back(word);
  PartName out;
  out.part = words.front();
  out.tensor = words.back();
  if (words.size() > 2) out.instance = std::stoi(words[1]);
  if (words.size() > 3) out.linear = words[2];
  return out;
}

void put(LinearParams& linear, const std::string& tensor, const Tensor& value) {
  (tensor == "bias" ? linear.bias : linear.weight) = value;
}

void put_norm(Params& params, NormId::Place place, const PartName& name, const Tensor& value) {
  NormParams& norm = params.norms[{place, name.instance}];
  (name.tensor == "bias" ? norm.bias : norm.weight) = value;
}

// Applies `f` to every tensor.
template <class F>
void each(Params& params, const F& f) {
  const auto linear = [&](LinearParams& l) {
    f(l.weight);
    f(l.bias);
  };
  f(params.position_table);
  for (auto& [i, table] : params.token_table) f(table);
  for (auto* group : {&params.gate, &params.adapter, &params.head})
    for (auto& [i, l] : *group) linear(l);
  for (auto& [i, a] : params.attention) linear(a.qkv), linear(a.out);
  for (auto& [i, m] : params.mlp) linear(m.up), linear(m.down);
  for (auto& [id, n] : params.norms) f(n.weight), f(n.bias);
  for (auto& [name, t] : params.own) f(t);
}

}  // namespace

Params bind(const ParameterSet& parameters, bool tied_heads) {
  Params params;
  for (const Parameter& p : parameters.all()) {
    if (p.spec.part == Part::kOwn) {
      params.own[p.spec.name] = p.tensor;
      continue;
    }
    const PartName name = parse(p.spec.name);
    const auto is = [&](const char* part) { return name.part == part; };
    const int i = name.instance;
    if (is("position_table"))
      params.position_table = p.tensor;
    else if (is("token_table"))
      params.token_table[i] = p.tensor;
    else if (is("gate"))
      put(params.gate[i], name.tensor, p.tensor);
    else if (is("adapter"))
      put(params.adapter[i], name.tensor, p.tensor);
    else if (is("head"))
      put(params.head[i], name.tensor, p.tensor);
    else if (is("norm_in"))
      put_norm(params, NormId::kIn, name, p.tensor);
    else if (is("norm_mid"))
      put_norm(params, NormId::kMid, name, p.tensor);
    else if (is("norm_out"))
      put_norm(params, NormId::kOut, name, p.tensor);
    else if (is("attention"))
      put(name.linear == "qkv" ? params.attention[i].qkv : params.attention[i].out, name.tensor,
          p.tensor);
    else if (is("mlp"))
      put(name.linear == "up" ? params.mlp[i].up : params.mlp[i].down, name.tensor, p.tensor);
    else
      fail(fmt::format("no part of a model is called {}", p.spec.name));
  }
  if (tied_heads)
    for (const auto& [i, table] : params.token_table) params.head[i] = {table, {}};
  return params;
}

Params frozen(const Params& params) {
  Params copy = params;
  each(copy, [](Tensor& t) {
    if (t.defined()) t = t.detach();
  });
  return copy;
}

}  // namespace fathom
