#include "fathom/model/models.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/depth_model.h"

namespace fathom {

void register_models(Models& models);  // written by cmake/experiments.cmake

void Models::add(const std::string& architecture, ModelFactory factory) {
  if (!factories_.emplace(architecture, std::move(factory)).second)
    fail(fmt::format("the architecture {} is registered twice", architecture));
}

const ModelFactory& Models::factory(const std::string& architecture) const {
  const auto found = factories_.find(architecture);
  if (found == factories_.end()) {
    std::vector<std::string> names;
    for (const auto& [name, factory] : factories_) names.push_back(name);
    fail(fmt::format("nothing computes the architecture {}", in_quotes(architecture)),
         names.empty()
             ? "its experiment needs a model.cpp that registers it"
             : fmt::format("model.cpp must register that name; it has {}", join(names, ", ")));
  }
  return found->second;
}

const Models& models() {
  static const Models all = [] {
    Models m;
    register_models(m);
    return m;
  }();
  return all;
}

std::unique_ptr<Model> make_model(const ModelConfig& config, int64_t vocab_size, uint64_t seed,
                                  at::Device device, at::ScalarType dtype) {
  validate(config);
  ModelParts parts = {config,
                      vocab_size,
                      make_depth_plan(config),
                      make_policy(config),
                      make_supervision(config.supervision, config.backbone.n_layer),
                      ParameterSet(parameter_table(config, vocab_size), seed, device, dtype),
                      {}};
  if (config.architecture == nullptr) return std::make_unique<DepthModel>(std::move(parts));
  auto model = models().factory(config.architecture->name)(std::move(parts));
  if (model == nullptr)
    fail(fmt::format("the experiment {} made no model", config.architecture->name),
         "its factory in model.cpp must return one");
  return model;
}

}  // namespace fathom
