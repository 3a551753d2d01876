"""The house's own rules, where no linter knows them."""
