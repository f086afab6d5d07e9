// What is told of texts that were generated: beside them, on standard error, or as JSON.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/decode/generate.h"
#include "fathom/model/spec/halting_config.h"
#include "fathom/study/asked/generate_request.h"
#include "fathom/study/generation/pages.h"

namespace fathom {

// `answers` are tokens by the layer that answered them, `seconds` what the texts took.

// Who answered, and what that saved. On a terminal the layers have the text's colours.
void print_answers(const GenerateRequest& request, const HaltingConfig& halting, const Pages& pages,
                   const std::map<int64_t, int64_t>& answers, const GenerateReport& report);
// What drafts have gained.
void print_drafts(const GenerateReport& report);
void print_speed(const GenerateReport& report, double seconds);

nlohmann::json report_json(const GenerateRequest& request, const std::vector<std::string>& texts,
                           const std::map<int64_t, int64_t>& answers, const GenerateReport& report,
                           double seconds);
// The texts as far as they came. What is counted of the whole is left out.
nlohmann::json stopped_json(const GenerateRequest& request, const std::vector<std::string>& texts,
                            const std::map<int64_t, int64_t>& answers, double seconds);

}  // namespace fathom
